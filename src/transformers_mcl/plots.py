"""Pictures of one look: the colours, the style, and the PNG that a figure becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .io import whole_file

__all__ = [
    "BLACK",
    "BLUE",
    "COLOURS",
    "DARK_GREY",
    "GREEN",
    "GREY",
    "LIGHT_GREY",
    "ORANGE",
    "PURPLE",
    "SKY_BLUE",
    "VERMILION",
    "label_ends",
    "picture",
    "spread_apart",
]

# Okabe and Ito's, told apart by colour-blind readers too.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE, BLACK = "#E69F00", "#56B4E9", "#000000"
DARK_GREY, GREY, LIGHT_GREY = "#333333", "#999999", "#e8e8e8"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, GREY)
"""For things without a colour of their own, in this order."""

_STYLE: Any = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the picture is the same on every machine
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.formatter.limits": (-9, 9),  # numbers in full: a factor above the panel would push its title up
    "axes.formatter.useoffset": False,
    "grid.color": LIGHT_GREY,
    "xtick.color": GREY,
    "xtick.labelcolor": DARK_GREY,
    "ytick.color": GREY,
    "ytick.labelcolor": DARK_GREY,
}


@contextmanager
def picture(path: str | PathLike[str], width: float, height: float, title: str = "") -> Iterator[Figure]:
    """A figure to draw on, which is written at the end.

    Args:
        path: the PNG.
        width, height: in inches.
        title: a line above all panels.
    """
    with matplotlib.rc_context(_STYLE):
        # Not pyplot's: that keeps global state, and may open a window.
        figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
        yield figure
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, parse_math=False)
        with whole_file(Path(path)) as draft:
            figure.savefig(draft, format="png", facecolor="white")


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str | None]]) -> None:
    """Names lines right of a panel, each at the height where it ends, or as near as the others leave room.

    Args:
        axes: the panel; its limits stay as they are.
        ends: value, name and colour of each line.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = sorted(ends, key=lambda end: end[:2])
    heights = spread_apart([(value - low) / (high - low) for value, _, _ in ends], gap=0.08)
    for height, (_, name, colour) in zip(heights, ends, strict=True):
        axes.text(1.02, height, name, color=colour, transform=axes.transAxes, va="center")


def spread_apart(heights: list[float], gap: float) -> list[float]:
    """`heights`, in ascending order, moved as little as leaves `gap` between any two."""
    groups: list[list[float]] = []  # of labels that touch: they stay centred on where they were
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], gap) < _bottom(groups[-2], gap) + gap * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_bottom(group, gap) + gap * i for group in groups for i in range(len(group))]


def _bottom(group: list[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2
