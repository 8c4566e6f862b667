"""The pictures of the page: figures over floating-point operations, or a dot a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes

from experiments.figures import Figure, Results, collapse
from experiments.plan import Question
from transformers_mcl.plots import BLACK, BLUE, COLOURS, picture

__all__ = ["plot_bars", "plot_compute", "plot_rates"]

_WIDTH = 9  # inches


def plot_compute(path: Path, results: Results, question: Question, figures: Sequence[Figure]) -> None:
    """A panel a figure: each run at its operations, a dot a seed and a bar at their median; runs of one method joined.

    A method is what stands before a comma in the run's label. Thin lines are evaluations on the way, dotted ones
    encoders of others.
    """
    _plot_methods(path, results, question, figures, "floating-point operations", _draw_method)


def plot_rates(path: Path, results: Results, question: Question, figures: Sequence[Figure]) -> None:
    """A panel a figure: each run at its learning rate, runs of one method joined; a cross is one that collapsed."""
    _plot_methods(path, results, question, figures, "learning rate", _draw_rates)


def _plot_methods(
    path: Path,
    results: Results,
    question: Question,
    figures: Sequence[Figure],
    over: str,
    draw: Callable[[Axes, Results, Figure, list[str], str, str], None],
) -> None:
    methods: dict[str, list[str]] = {}
    for run in results.runs_of(question):
        methods.setdefault(results.label(run).partition(",")[0], []).append(run)
    rows = -(-len(figures) // 3)
    with picture(path, _WIDTH, 2.6 * rows) as drawing:
        panels = list(drawing.subplots(rows, 3, squeeze=False).flat)
        for axes, figure in zip(panels, figures, strict=False):
            for (method, members), colour in zip(methods.items(), COLOURS * 3, strict=False):
                draw(axes, results, figure, members, colour, method)
            axes.set_title(_title(figure))
            axes.set_xlabel(over)
            axes.grid(axis="y")
        for axes in panels[len(figures) :]:
            axes.set_axis_off()
        panels[0].legend(frameon=False, fontsize=7)


def _draw_rates(axes: Axes, results: Results, figure: Figure, runs: list[str], colour: str, label: str) -> None:
    points = []
    for run in runs:
        rate = float(next(iter(results.by_run[run].values()))["pretrain"]["learning_rate"])
        values = results.values(run, figure)
        for seed, value in values.items():
            mark = "x" if collapse(results.by_run[run][seed]) else "o"
            axes.plot(rate, value, mark, color=colour, markersize=4)
        if values:
            points.append((rate, median(values.values())))
    axes.set_xscale("log")
    axes.plot(*zip(*sorted(points), strict=True) if points else ([], []), "-", color=colour, linewidth=1, label=label)


def _draw_method(axes: Axes, results: Results, figure: Figure, runs: list[str], colour: str, label: str) -> None:
    points = []
    for run in runs:
        values = results.values(run, figure)
        if "flops" not in next(iter(results.by_run[run].values())):
            for value in values.values():
                axes.axhline(value, color=colour, linewidth=1, linestyle=":")
            continue
        costs = [results.by_run[run][seed]["flops"] for seed in values]
        axes.plot(costs, list(values.values()), "o", color=colour, markersize=3, alpha=0.5, markeredgewidth=0)
        if values:
            points.append((median(costs), median(values.values())))
        for seed in values if figure.on_the_way else ():
            curve = results.by_run[run][seed]["curve"]
            way = [(one["flops"], one[figure.on_the_way]) for one in curve if figure.on_the_way in one]
            axes.plot(*zip(*way, strict=True), color=colour, linewidth=0.6, alpha=0.35)
    points.sort()
    axes.plot(*zip(*points, strict=True) if points else ([], []), "-_", color=colour, markersize=9, label=label)


def plot_bars(path: Path, results: Results, question: Question, figures: Sequence[Figure]) -> None:
    """A panel a figure: a row a run, a dot a seed, a bar at their median."""
    runs = results.runs_of(question)[::-1]
    with picture(path, _WIDTH, 0.9 + 0.28 * len(runs)) as drawing:
        panels = list(drawing.subplots(1, len(figures), squeeze=False).flat)
        for axes, figure in zip(panels, figures, strict=False):
            for place, run in enumerate(runs):
                values = list(results.values(run, figure).values())
                axes.plot(values, [place] * len(values), "o", color=BLUE, markersize=3.5, alpha=0.6)
                if values:
                    axes.plot(median(values), place, "|", color=BLACK, markersize=10)
            axes.set_yticks(range(len(runs)), [])
            axes.set_ylim(-0.6, len(runs) - 0.4)
            axes.set_title(_title(figure))
            axes.locator_params(axis="x", nbins=3)
            axes.grid()
        panels[0].set_yticks(range(len(runs)), [results.label(run) for run in runs])


def _title(figure: Figure) -> str:
    """With an arrow to where it is better."""
    return f"{figure.name} {({1: '↑', -1: '↓'}).get(figure.sign, '')}".strip()
