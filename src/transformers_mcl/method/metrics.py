"""What a run is watched by: sums on the device that add up across batches and processes, and the figures they give.

The names of the figures are those of google-research/electra, with the course in front: `rtd_masked_lm_accuracy`,
`rtd_sampled_masked_lm_accuracy`, `std_disc_auc`, ...
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .courses import COURSES, Course, CourseRecord, all_losses

__all__ = [
    "COURSE_FIGURES",
    "add_metrics",
    "course_figures",
    "detection_sums",
    "generator_counts",
    "summarize_metrics",
    "verdicts",
]

# What is known of a course, in google-research/electra's names as far as it has them, the generator's first.
COURSE_FIGURES = (
    "masked_lm_loss",
    "masked_lm_accuracy",
    "sampled_masked_lm_accuracy",
    "disc_loss",
    "disc_auc",
    "disc_accuracy",
    "disc_precision",
    "disc_recall",
    # The correction notebook's cells, as shares of all judged tokens; see `notebook.Notebook`.
    "notebook_pos1",
    "notebook_pos2",
    "notebook_pos3",
    "notebook_pos4",
)


def course_figures(course: Course) -> tuple[str, ...]:
    """Those of `COURSE_FIGURES` that a course has, without its name in front."""
    absent = ["masked_lm"] * (course.generate is None) + ["notebook"] * (not course.corrects)
    return tuple(figure for figure in COURSE_FIGURES if not any(part in figure for part in absent))


def detection_sums(logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """`[true negatives, false negatives, false positives, true positives, pairs in order, pairs]`, in float32.

    A pair is a replaced and an original token of this batch; it is in order where the replaced one's logit is greater,
    and counts half where the two are equal. So the area under the curve is exact whatever the logits' scale. Sums of
    several batches give the mean of theirs, weighted by pairs: in training, where each batch is judged by other
    weights. An evaluation compares the tokens of all its batches ([`verdicts`]).

    Args:
        logits (`Tensor` of shape `(batch, length)`): positive where judged replaced. NaN counts as 0: the run ends
            where its loss is read.
        labels (`BoolTensor` of shape `(batch, length)`): True where replaced.
        present (`Tensor` of shape `(batch, length)`): 0 at tokens that are not judged.
    """
    logits, labels, present = logits.float().nan_to_num().flatten(), labels.flatten().bool(), present.flatten().bool()
    replaced, original = labels & present, ~labels & present
    above = logits > 0
    cells = [original & ~above, replaced & ~above, original & above, replaced & above]
    order = logits.argsort()
    rising, originals = logits[order].contiguous(), torch.nn.functional.pad(original[order].cumsum(0), (1, 0))
    below, through = (originals[torch.searchsorted(rising, logits, right=right)] for right in (False, True))
    won = ((below + through) * replaced).sum() / 2  # in integers up to here: exact
    pairs = replaced.sum() * original.sum()
    return torch.stack([*(cell.sum().float() for cell in cells), won.float(), pairs.float()])


def verdicts(record: CourseRecord) -> Tensor:
    """What the discriminator said of a batch, `(tokens, 3)` in float32: logit, label, and whether it is judged."""
    assert record.logits is not None and record.labels is not None
    mask = record.corruption.attention_mask
    judged = torch.ones_like(record.labels) if mask is None else mask
    return torch.stack([value.float().flatten() for value in (record.logits, record.labels, judged)], 1)


def generator_counts(logits: Tensor, samples: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """`[right, right by its sample, predicted]` over the valid slots, in float32.

    `logits` is `(batch, slots, vocabulary)`; the others are `(batch, slots)`.
    """
    right = ((logits.argmax(-1) == labels) & valid).sum()
    sampled = ((samples == labels) & valid).sum()
    return torch.stack([right, sampled, valid.sum()]).float()


def add_metrics(total: dict[str, Tensor], part: Mapping[str, Tensor]) -> None:
    """Adds `part` into `total` in place, in float64 where the device has it: counts stay exact for any run."""
    for name, value in part.items():
        if name not in total:
            wide = torch.float32 if value.device.type == "mps" else torch.float64
            total[name] = torch.zeros_like(value, dtype=wide)
        total[name] += value


def summarize_metrics(total: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures from the sums of `MclForPreTrainingOutput.metrics`; reads the device once a sum.

    A figure without a denominator, such as the precision of a discriminator that called nothing replaced, is left out.
    """
    figures: dict[str, float] = {}
    sums = {name: value.cpu().double().tolist() for name, value in total.items()}
    for loss in all_losses():
        if loss in sums:
            _ratio(figures, f"{loss}_loss", *sums[loss])
    for name, course in COURSES.items():
        if (counts := sums.get(f"{name}_generator")) is not None:
            right, sampled, predicted = counts
            _ratio(figures, f"{name}_masked_lm_accuracy", right, predicted)
            _ratio(figures, f"{name}_sampled_masked_lm_accuracy", sampled, predicted)
            if course.generate is not None:
                _rename(figures, f"{course.generate.name}_loss", f"{name}_masked_lm_loss")
        if (counts := sums.get(f"{name}_detection")) is not None:
            _detection(figures, name, *counts)
            _rename(figures, f"{course.detect.name}_loss", f"{name}_disc_loss")
        if (cells := sums.get(f"{name}_notebook")) is not None:
            for i, cell in enumerate(cells, start=1):
                _ratio(figures, f"{name}_notebook_pos{i}", cell, sum(cells))
    return figures


def _detection(
    figures: dict[str, float], course: str, tn: float, fn: float, fp: float, tp: float, won: float, pairs: float
) -> None:
    _ratio(figures, f"{course}_disc_accuracy", tp + tn, tn + fn + fp + tp)
    _ratio(figures, f"{course}_disc_precision", tp, tp + fp)
    _ratio(figures, f"{course}_disc_recall", tp, tp + fn)
    _ratio(figures, f"{course}_disc_auc", won, pairs)


def _rename(figures: dict[str, float], name: str, also: str) -> None:
    """Gives a figure google-research/electra's name beside ours, if it is there."""
    if name in figures:
        figures[also] = figures[name]


def _ratio(figures: dict[str, float], name: str, numerator: float, denominator: float) -> None:
    if denominator:
        figures[name] = numerator / denominator
