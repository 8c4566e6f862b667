"""Accuracy on minimal pairs: by group, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from ...io import markdown_table
from ...plots import BLUE, DARK_GREY, VERMILION, picture
from .scoring import PairScores

__all__ = ["GROUPINGS", "plot_accuracies", "summarize", "to_markdown"]

GROUPINGS = ("field", "linguistics_term", "paradigm")
_COLOURS = {"generator": BLUE, "discriminator": VERMILION}
_MOST_BARS = 40

Summary = Mapping[str, Mapping[str, Mapping[str, Any]]]


def summarize(
    pairs: Sequence[object], scores: PairScores, noun: str = "pairs"
) -> dict[str, dict[str, dict[str, Any]]]:
    """Accuracy over all pairs, and by each of `GROUPINGS` that the pairs have; every pair counts the same.

    Returns:
        By grouping (`"all"`, …) and group: `accuracy`, its 95 % `interval` (Wilson's), their number as `noun`,
        `correct` and `ties`, which are not correct; `accuracy_with_ties`, where they are, as in BabyLM's evaluation.
    """
    groups: dict[str, dict[str, list[int]]] = {"all": {"all": list(range(len(pairs)))}}
    for grouping in GROUPINGS:
        for number, pair in enumerate(pairs):
            if (name := getattr(pair, grouping, None)) is not None:
                groups.setdefault(grouping, {}).setdefault(name, []).append(number)
    return {
        grouping: {
            name: _accuracy(scores.correct[members], scores.ties[members], noun) for name, members in named.items()
        }
        for grouping, named in groups.items()
    }


def _accuracy(correct: NDArray[np.bool_], ties: NDArray[np.bool_], noun: str) -> dict[str, Any]:
    right, tied, n = int(correct.sum()), int(ties.sum()), len(correct)
    low, high = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return {
        "accuracy": right / n,
        "interval": [low, high],
        noun: n,
        "correct": right,
        "ties": tied,
        "accuracy_with_ties": (right + tied) / n,
    }


def to_markdown(results: Mapping[str, Summary], noun: str = "pairs") -> str:
    """A table for each grouping; `results` are summaries of the same pairs, by scorer."""
    one = next(iter(results.values()))
    return "\n\n".join(
        _table(grouping, {scorer: summary[grouping] for scorer, summary in results.items()}, noun) for grouping in one
    )


def _table(grouping: str, results: Mapping[str, Mapping[str, Mapping[str, Any]]], noun: str) -> str:
    head = ["" if grouping == "all" else grouping.replace("_", " "), noun]
    head += [cell for scorer in results for cell in (scorer, "95 % interval", "ties", "with ties")]
    rows = []
    for group, first in next(iter(results.values())).items():
        row = [group, f"{first[noun]:,}"]
        for summary in results.values():
            found = summary[group]
            low, high = found["interval"]
            row += [f"{found['accuracy']:.3f}", f"{low:.3f} to {high:.3f}", f"{found['ties']:,}"]
            row.append(f"{found['accuracy_with_ties']:.3f}")
        rows.append(row)
    return markdown_table(head, rows)


def plot_accuracies(
    results: Mapping[str, Summary], path: str | PathLike[str], title: str = "", chance: float = 0.5
) -> None:
    """Draws accuracies as a PNG: over all pairs, by field and by linguistics term, a bar for each scorer.

    Pairs of neither field nor term are drawn by paradigm. Whiskers are 95 % intervals, the dashed line is chance.
    """
    one = next(iter(results.values()))
    wide = [grouping for grouping in GROUPINGS[:2] if grouping in one]
    chosen = ["all", *(wide or ["paradigm"] * (len(one["paradigm"]) <= _MOST_BARS))]
    places, labels, y = [], [], 0.0
    for grouping in chosen:
        for group in one[grouping]:
            places.append((grouping, group, y))
            labels.append("all pairs" if grouping == "all" else group.replace("_", " "))
            y += 1
        y += 0.6
    with picture(path, 7, 1.2 + 0.28 * y, title) as figure:
        axes = figure.add_subplot()
        height = 0.8 / len(results)
        for number, (scorer, summary) in enumerate(results.items()):
            found = [summary[grouping][group] for grouping, group, _ in places]
            share = np.array([one["accuracy"] for one in found])
            whiskers = np.abs(np.array([one["interval"] for one in found]).T - share)
            at = [place + (number - (len(results) - 1) / 2) * height for *_, place in places]
            look: Any = {"color": _COLOURS.get(scorer), "error_kw": {"elinewidth": 0.8, "ecolor": DARK_GREY}}
            axes.barh(at, share, height, xerr=whiskers, label=scorer, **look)
        axes.axvline(chance, color=DARK_GREY, linestyle="--", linewidth=1, label="chance")
        axes.set_yticks([place for *_, place in places], labels, parse_math=False)
        axes.set(xlim=(0, 1), ylim=(y - 1, -0.7), xlabel="accuracy")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
