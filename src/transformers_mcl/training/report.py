"""What a run has learnt, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from ..method.courses import COURSES
from ..method.metrics import COURSE_FIGURES

__all__ = ["results_table"]


def results_table(evaluation: Mapping[str, float], baselines: Mapping[str, float]) -> str:
    """The held-out figures by course, beside what knows no context.

    Args:
        evaluation: figures as `metrics.summarize_metrics` names them.
        baselines: `most_frequent_token` (share) and `unigram_entropy` (nats) of the held-out text.
    """
    chance = {
        "masked_lm_loss": f"{baselines['unigram_entropy']:.3f} (no context)",
        "masked_lm_accuracy": f"{baselines['most_frequent_token']:.3f} (the most frequent token)",
        "disc_auc": "0.500 (chance)",
    }
    courses = [course for course in COURSES if f"{course}_disc_auc" in evaluation]
    head = f"{'held-out text':<28}" + "".join(f"{course:>9}" for course in courses) + "   against"
    lines = [head, "-" * len(head)]
    for figure in COURSE_FIGURES:
        values = [evaluation.get(f"{course}_{figure}") for course in courses]
        if any(value is not None for value in values):
            cells = "".join(f"{'' if value is None else format(value, '.3f'):>9}" for value in values)
            lines.append(f"{figure:<28}{cells}   {chance.get(figure, '')}".rstrip())
    return "\n".join(lines)
