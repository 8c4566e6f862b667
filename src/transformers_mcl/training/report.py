"""What a run has learnt, as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..method.courses import COURSES
from ..method.metrics import COURSE_FIGURES

__all__ = ["comparison_table", "results_table"]

# Of pairs with different tokens, what can be compared: losses and accuracies of the generator cannot.
_COMPARABLE = [figure for figure in COURSE_FIGURES if "masked_lm" not in figure]


def results_table(evaluation: Mapping[str, float], baselines: Mapping[str, float]) -> str:
    """The held-out figures by course, beside what knows no context.

    Args:
        evaluation: figures as `metrics.summarize_metrics` names them.
        baselines: `most_frequent_token` (share) and `unigram_entropy` (nats) of the held-out text.
    """
    chance = {
        "masked_lm_loss": f"  {baselines['unigram_entropy']:.3f} (no context)",
        "masked_lm_accuracy": f"  {baselines['most_frequent_token']:.3f} (most frequent)",
        "disc_auc": "  0.500 (chance)",
    }
    courses = _courses(evaluation)
    head = f"{'held-out text':<27}{_cells(courses)}  against"
    return "\n".join([head, "-" * len(head), *_lines(COURSE_FIGURES, [(courses, evaluation)], chance)])


def comparison_table(evaluations: Mapping[str, Mapping[str, float]]) -> str:
    """Held-out figures of several pairs by course, side by side: those that do not depend on what the tokens are.

    Args:
        evaluations: of each pair, by what it is called, in 24 characters at most.
    """
    columns = [(_courses(evaluation), evaluation) for evaluation in evaluations.values()]
    wide = [max(8 * len(courses), len(name) + 2) for name, (courses, _) in zip(evaluations, columns, strict=True)]
    names = "".join(f"{name:>{width}}" for name, width in zip(evaluations, wide, strict=True))
    head = f"{'held-out text':<27}" + "".join(_cells(courses) for courses, _ in columns)
    return "\n".join([" " * 27 + names, head, "-" * len(head), *_lines(_COMPARABLE, columns, {})])


def _courses(evaluation: Mapping[str, float]) -> list[str]:
    return [course for course in COURSES if any(f"{course}_{figure}" in evaluation for figure in COURSE_FIGURES)]


def _cells(values: Iterable[str]) -> str:
    return "".join(f"{value:>8}" for value in values)


def _lines(
    figures: Iterable[str], columns: list[tuple[list[str], Mapping[str, float]]], beside: Mapping[str, str]
) -> Iterable[str]:
    """A line for each of these figures that a pair has."""
    for figure in figures:
        values = [evaluation.get(f"{course}_{figure}") for courses, evaluation in columns for course in courses]
        if any(value is not None for value in values):
            cells = _cells("" if value is None else f"{value:.3f}" for value in values)
            yield f"{figure:<27}{cells}{beside.get(figure, '')}".rstrip()
