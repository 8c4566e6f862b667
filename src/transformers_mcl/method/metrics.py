"""What a run is watched by: sums on the device that add up across batches and processes, and the figures they give.

The names of the figures are those of google-research/electra, with the course in front: `rtd_masked_lm_accuracy`,
`rtd_sampled_masked_lm_accuracy`, `std_disc_auc`, ...
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..models.configuration_mcl import COURSES, LOSS_NAMES

__all__ = ["AUC_BINS", "COURSE_FIGURES", "add_metrics", "detection_histogram", "generator_counts", "summarize_metrics"]

AUC_BINS = 2048  # even, so that a border lies at logit 0; the area's error is below the share of ties within a bin
_LOGIT_RANGE = 16.0

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
    # The correction notebook's cells, as shares of all judged tokens; see `courses.Notebook`.
    "notebook_pos1",
    "notebook_pos2",
    "notebook_pos3",
    "notebook_pos4",
)


def detection_histogram(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Counts of logits by bin, `(2, AUC_BINS)` in float32: row 0 of original tokens, row 1 of replaced ones.

    Args are all `(batch, length)`; `weights` is 0 at padding. The upper half of the bins holds exactly the logits
    above 0, the tokens judged replaced.
    """
    width = 2 * _LOGIT_RANGE / AUC_BINS
    # NaN has no bin, and would be an index out of bounds: the run ends where its loss is read.
    bins = ((logits.float().nan_to_num() + _LOGIT_RANGE) / width).floor().clamp(0, AUC_BINS - 1).long()
    # A logit of 0 lies on the border, and rounding must carry none over it.
    bins = torch.where(logits > 0, bins.clamp(min=AUC_BINS // 2), bins.clamp(max=AUC_BINS // 2 - 1))
    counts = torch.zeros(2 * AUC_BINS, device=logits.device)
    counts.scatter_add_(0, (labels.long() * AUC_BINS + bins).flatten(), weights.float().flatten())
    return counts.view(2, AUC_BINS)


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
    sums = {name: value.double().cpu() for name, value in total.items()}
    for loss in LOSS_NAMES:
        if loss in sums:
            _ratio(figures, f"{loss}_loss", *sums[loss].tolist())
    for course in COURSES:
        if (counts := sums.get(f"{course}_generator")) is not None:
            right, sampled, predicted = counts.tolist()
            _ratio(figures, f"{course}_masked_lm_accuracy", right, predicted)
            _ratio(figures, f"{course}_sampled_masked_lm_accuracy", sampled, predicted)
            _rename(figures, f"{COURSES[course][0]}_loss", f"{course}_masked_lm_loss")
        if (histogram := sums.get(f"{course}_detection")) is not None:
            _detection(figures, course, histogram)
            _rename(figures, f"{course}_loss", f"{course}_disc_loss")
        if (cells := sums.get(f"{course}_notebook")) is not None:
            for i, cell in enumerate(cells.tolist(), start=1):
                _ratio(figures, f"{course}_notebook_pos{i}", cell, cells.sum().item())
    return figures


def _detection(figures: dict[str, float], course: str, histogram: Tensor) -> None:
    below, above = histogram[:, : AUC_BINS // 2].sum(1), histogram[:, AUC_BINS // 2 :].sum(1)
    (true_negative, false_negative), (false_positive, true_positive) = below.tolist(), above.tolist()
    tokens = true_negative + false_negative + false_positive + true_positive
    _ratio(figures, f"{course}_disc_accuracy", true_positive + true_negative, tokens)
    _ratio(figures, f"{course}_disc_precision", true_positive, true_positive + false_positive)
    _ratio(figures, f"{course}_disc_recall", true_positive, true_positive + false_negative)
    # The chance that a replaced token's logit exceeds an original one's, ties counting half.
    original, replaced = histogram
    won = replaced * (original.cumsum(0) - original / 2)
    _ratio(figures, f"{course}_disc_auc", won.sum().item(), (original.sum() * replaced.sum()).item())


def _rename(figures: dict[str, float], name: str, also: str) -> None:
    """Gives a figure google-research/electra's name beside ours, if it is there."""
    if name in figures:
        figures[also] = figures[name]


def _ratio(figures: dict[str, float], name: str, numerator: float, denominator: float) -> None:
    if denominator:
        figures[name] = numerator / denominator
