"""The picture of a run: losses, metrics and learning rate, drawn from the log history that a Trainer keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from ..method.courses import COURSES
from ..plots import label_ends, picture

__all__ = ["plot_curves"]

_GREY = "#666666"
# Name and look of a line, by the prefix of its figure in the log history.
_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("training text", {"linewidth": 1.0, "alpha": 0.6, "markersize": 4}),
    "eval_": ("held-out text", {"linewidth": 2.2, "markersize": 6}),
}
_LogHistory = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Curve:
    """One figure of the log history, the name to write beside its line, and the line's look."""

    figure: str
    name: str = ""
    colour: str = _GREY
    dashed: bool = False


@dataclass(frozen=True)
class _Panel:
    title: str
    curves: list[_Curve]
    level: tuple[float, str] | None = None  # a horizontal line to compare with, and its name


def plot_curves(
    log_history: _LogHistory,
    path: str | PathLike[str],
    *,
    title: str = "",
    baseline: float | None = None,
    figures: Mapping[str, str] | None = None,
) -> None:
    """Draws a run as a PNG: a panel for each kind of figure, a colour for each course.

    Thin lines are training text, averaged between two logs; thick lines are held-out text. Panels and lines without
    data are left out, and a value that is not finite leaves a gap.

    Args:
        log_history: `Trainer.state.log_history`: figures by name, those of evaluations with the prefix `eval_`.
        baseline: share of the most frequent token among those to predict; a generator has to beat it.
        figures: what to draw instead of pre-training's, a panel for each: its title and the figure's name.
    """
    chosen = _panels(baseline) if figures is None else [_Panel(t, [_Curve(name)]) for t, name in figures.items()]
    panels = [p for p in chosen if any(_lines(log_history, curve) for curve in p.curves)]
    columns = min(len(panels), 3) or 1
    rows = math.ceil(len(panels) / columns) or 1
    with picture(path, 0.4 + 3.4 * columns, 0.5 + 2.4 * rows, title) as figure:
        for place, panel in enumerate(panels, start=1):
            _draw(figure.add_subplot(rows, columns, place), panel, log_history)
        if not panels:
            figure.text(0.5, 0.5, "nothing was logged", ha="center", color=_GREY)
        drawn = {line.get_label(): line for axes in figure.axes for line in axes.lines}
        handles = [
            Line2D([], [], color=_GREY, label=name, marker=drawn[name].get_marker(), **look)
            for name, look in _LOOKS.values()
            if name in drawn
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles) or 1, frameon=False)


def _panels(baseline: float | None) -> list[_Panel]:
    # A course keeps its colour in every panel.
    def losses(detects: bool) -> list[_Curve]:
        return [
            _Curve(f"{loss.name}_loss", loss.name, course.colour, dashed=loss.corrects)
            for corrects in (False, True)
            for course in COURSES.values()
            for loss in course.losses
            if (loss.detects, loss.corrects) == (detects, corrects)
        ]

    def metric(name: str) -> list[_Curve]:
        return [_Curve(f"{course.name}_{name}", course.name.upper(), course.colour) for course in COURSES.values()]

    frequent = None if baseline is None else (baseline, "commonest token")
    return [
        _Panel("Generator losses (nats)", losses(detects=False)),
        _Panel("Discriminator losses (nats)", losses(detects=True)),
        _Panel("Discriminator AUC", metric("disc_auc"), (0.5, "chance")),
        _Panel("Generator accuracy, likeliest token", metric("masked_lm_accuracy"), frequent),
        _Panel("Generator accuracy, sampled token", metric("sampled_masked_lm_accuracy")),
        _Panel("Learning rate", [_Curve("learning_rate")]),
        _Panel("Model FLOPs utilisation", [_Curve("mfu")]),
    ]


def _lines(log_history: _LogHistory, curve: _Curve) -> dict[str, np.ndarray]:
    """Steps and values, `(points, 2)`, by prefix: NaN where a value is not finite, no entry where none is."""
    lines = {}
    for prefix in _LOOKS:
        key = prefix + curve.figure
        # One point a step: the evaluation at the end is of a step that may have been evaluated before.
        logged = {log["step"]: log[key] for log in log_history if "step" in log and key in log}
        points = np.array(list(logged.items()), float).reshape(-1, 2)
        if np.isfinite(points[:, 1:]).any():
            points[~np.isfinite(points)] = np.nan  # a gap in the line
            lines[prefix] = points
    return lines


def _draw(axes: Axes, panel: _Panel, log_history: _LogHistory) -> None:
    ends = []  # height, name and colour of each label
    for curve in panel.curves:
        end: tuple[float, float] | None = None  # of the line that goes furthest, held-out text first
        for prefix, points in _lines(log_history, curve).items():
            name, look = _LOOKS[prefix]
            there = points[np.isfinite(points[:, 1])]
            # A line through a single point cannot be seen.
            marker, dashes = "o" if len(there) == 1 else "", (0, (3, 1.5)) if curve.dashed else "-"
            axes.plot(*points.T, color=curve.colour, label=name, marker=marker, linestyle=dashes, **look)
            step, value = there[-1].tolist()
            end = end if end and end[0] > step else (step, value)
        if curve.name and end:
            ends.append((end[1], curve.name, curve.colour))
    if panel.level is not None:
        axes.axhline(panel.level[0], color=_GREY, linewidth=1, linestyle=":")
        ends.append((*panel.level, _GREY))
    axes.set_title(panel.title)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.02)
    axes.grid()
    label_ends(axes, ends)
