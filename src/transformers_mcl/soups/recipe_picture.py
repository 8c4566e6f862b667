"""The picture of the recipe, in the form of the paper's figure: ingredients as dots, MCL and the soups as lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..training.curves import spread_apart
from .pictures import STYLE
from .recipe import CORRECTIONS, INGREDIENTS, MCL

__all__ = ["plot_scores"]

# Okabe and Ito's colours, told apart by colour-blind readers too.
_COLOURS = {
    MCL: "#000000",
    "uniform soup": "#0072B2",
    "weighted soup": "#D55E00",
    "greedy soup": "#009E73",
    "learned soup": "#CC79A7",
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
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, sum(heights) + 0.4), dpi=160, layout="constrained")
        panels = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
        for axes, column in zip(panels, columns, strict=False):
            _draw(axes, {name: figures[column] for name, figures in scores.items()}, ingredients)
            axes.set_title(f"{column}, {'lower' if column in lower_is_better else 'higher'} is better")
        _mixtures(panels[-1], ingredients)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, parse_math=False)
        figure.savefig(path, format="png", facecolor="white")


def _draw(axes: Axes, values: Mapping[str, float], ingredients: list[str]) -> None:
    axes.plot(range(len(ingredients)), [values[name] for name in ingredients], "o", color="#999999", markersize=5)
    lines = {name: value for name, value in values.items() if name not in ingredients}
    for name, value in lines.items():
        look: dict[str, Any] = {"linestyle": "--"} if name == MCL else {}
        axes.axhline(value, color=_COLOURS.get(name), linewidth=1.4, **look)
    axes.margins(y=0.12)
    axes.grid(axis="y", color="#e8e8e8")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = sorted((value, name) for name, value in lines.items())
    places = spread_apart([(value - low) / (high - low) for value, _ in ends], gap=0.085)
    for place, (value, name) in zip(places, ends, strict=True):
        label = f"{'MCL' if name == MCL else name} {value:.4f}"
        axes.text(1.01, place, label, color=_COLOURS.get(name), transform=axes.transAxes, va="center")


def _mixtures(axes: Axes, ingredients: list[str]) -> None:
    """Below each dot, which corrections it was trained with."""
    for row, loss in enumerate(CORRECTIONS):
        for place, name in enumerate(ingredients):
            there = loss in INGREDIENTS[name]
            axes.plot(place, row, "o", color="#333333" if there else "#dddddd", markersize=5)
    axes.set_yticks(range(len(CORRECTIONS)), CORRECTIONS)
    axes.set_ylim(len(CORRECTIONS) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("ingredients, by the corrections that each was trained with")
