"""The picture of the study, in the form of the paper's figure: ingredients as dots, MCL and the soups as lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from course_soups.study import CORRECTIONS, INGREDIENTS, MCL
from transformers_mcl.plots import BLACK, BLUE, DARK_GREY, GREEN, GREY, PURPLE, VERMILION, label_ends, picture

__all__ = ["plot_scores"]

_COLOURS = {
    MCL: BLACK,
    "uniform soup": BLUE,
    "weighted soup": VERMILION,
    "greedy soup": GREEN,
    "learned soup": PURPLE,
}


def plot_scores(
    scores: Mapping[str, Mapping[str, float]], path: Path, title: str, lower_is_better: Collection[str] = ()
) -> None:
    """Draws a panel for each figure: a dot an ingredient, above the corrections that it had, and lines for the rest.

    Args:
        scores: figures by model, as `results_markdown` takes them.
        path: the PNG to write.
        lower_is_better: names of figures of which it is.
    """
    ingredients = [name for name in scores if name in INGREDIENTS]
    columns = list(next(iter(scores.values())))
    heights = [2.4] * len(columns) + [0.9]
    with picture(path, 7.5, sum(heights) + 0.4, title) as figure:
        panels = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
        for axes, column in zip(panels, columns, strict=False):
            _draw(axes, {name: figures[column] for name, figures in scores.items()}, ingredients)
            axes.set_title(f"{column}, {'lower' if column in lower_is_better else 'higher'} is better")
        _mixtures(panels[-1], ingredients)


def _draw(axes: Axes, values: Mapping[str, float], ingredients: list[str]) -> None:
    axes.plot(range(len(ingredients)), [values[name] for name in ingredients], "o", color=GREY, markersize=5)
    lines = {name: value for name, value in values.items() if name not in ingredients}
    for name, value in lines.items():
        look: dict[str, Any] = {"linestyle": "--"} if name == MCL else {}
        axes.axhline(value, color=_COLOURS.get(name), linewidth=1.4, **look)
    axes.margins(y=0.12)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)
    label_ends(
        axes,
        [
            (value, f"{'MCL' if name == MCL else name} {value:.4f}", _COLOURS.get(name))
            for name, value in lines.items()
        ],
    )


def _mixtures(axes: Axes, ingredients: list[str]) -> None:
    """Below each dot, which corrections it was trained with."""
    for row, loss in enumerate(CORRECTIONS):
        for place, name in enumerate(ingredients):
            there = loss in INGREDIENTS[name]
            axes.plot(place, row, "o", color=DARK_GREY if there else "#dddddd", markersize=5)
    axes.set_yticks(range(len(CORRECTIONS)), CORRECTIONS)
    axes.set_ylim(len(CORRECTIONS) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("ingredients, by the corrections that each was trained with")
