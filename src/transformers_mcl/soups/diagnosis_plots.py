"""Heat maps and lines of what is between checkpoints, and between losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from ..plots import GREY, picture

__all__ = ["draw_lines", "draw_matrix", "save_panels"]

_CELL = 0.36  # inches


def draw_matrix(
    axes: Axes,
    values: np.ndarray,
    labels: Sequence[str],
    title: str,
    *,
    colours: str = "viridis",
    limit: float | None = None,
    form: str = ".2g",
    diagonal: bool = False,
) -> None:
    """A square heat map with its numbers in the cells.

    Args:
        values (`(n, n)`): NaN cells stay empty.
        limit: the scale goes from -limit to limit, so that 0 is its middle; by default from 0 to the highest.
        form: of the numbers.
        diagonal: whether to show it; what something has to do with itself is seldom of interest.
    """
    shown = np.where(np.eye(len(values), dtype=bool) & (not diagonal), np.nan, values)
    finite = shown[np.isfinite(shown)]
    low, high = (-limit, limit) if limit else (0.0, finite.max(initial=0.0) or 1.0)
    image = axes.imshow(shown, cmap=colours, vmin=low, vmax=high)
    size = 7 if len(labels) <= 9 else 5.5
    for (row, column), value in np.ndenumerate(shown):
        if not np.isfinite(value):
            unknown = diagonal or row != column
            axes.text(column, row, "none" * unknown, ha="center", va="center", size=size - 1, color=GREY)
        else:
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            text = f"{value:z{form}}".replace("-", "\N{MINUS SIGN}")
            axes.text(column, row, text, ha="center", va="center", size=size, color="white" if dark else "black")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.outline.set_visible(False)


def draw_lines(axes: Axes, lines: Sequence[Sequence[float]], barriers: Sequence[float], title: str, name: str) -> None:
    """Losses along lines, each from its left end to its right one, coloured by its barrier."""
    norm = Normalize(0, max(barriers) or 1)
    for losses, height in sorted(zip(lines, barriers, strict=True), key=lambda pair: pair[1]):
        colour = matplotlib.colormaps["viridis"](norm(height))
        axes.plot(np.linspace(0, 1, len(losses)), losses, color=colour, linewidth=1.2, marker=".", markersize=4)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("share of the second in the average of two")
    axes.set_ylabel(name)
    axes.grid()
    axes.set_title(title)
    if max(barriers):
        bar = axes.figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, shrink=0.6, pad=0.02, label="barrier")
        bar.outline.set_visible(False)


def save_panels(path: Path, title: str, labels: Sequence[str], panels: Sequence[Any], columns: int = 2) -> None:
    """Draws each of `panels`, functions of `Axes`, into one PNG, with room for a matrix over `labels` in each."""
    size = max(2.6, _CELL * len(labels)) + 0.075 * max(map(len, labels))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with picture(path, (size + 1) * columns, (size + 0.4) * rows + 0.4, title) as figure:
        for place, draw in enumerate(panels, start=1):
            draw(figure.add_subplot(rows, columns, place))
