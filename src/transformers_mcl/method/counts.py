"""How many places there are: the one source. The losses' denominators, operations, scores, plan and card ask here.

What the forward really operates on, judges and corrects is held against these numbers by test, for every schedule,
in training and in evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .corruptions import operated_count
from .courses import Course, Rows, in_order
from .schedules import Curriculum

__all__ = ["RowCounts", "correction_rows", "count_losses", "group_rows", "slot_counts"]


@dataclass(frozen=True)
class RowCounts:
    """Tokens of each row, `LongTensor`s of shape `(batch,)`: those that courses may operate on, and all of them."""

    operable: Tensor
    present: Tensor

    @classmethod
    def of(cls, rows: Rows) -> RowCounts:
        """Of clean rows."""
        operable, mask = rows.operable.sum(1), rows.attention_mask
        return cls(operable, torch.full_like(operable, rows.input_ids.shape[1]) if mask is None else mask.sum(1))


def correction_rows(curriculum: Curriculum, rows: int) -> int:
    """Of so many rows that a course takes, how many its corrections are run on: the first ones."""
    return operated_count(rows, curriculum.correction_rows)


def group_rows(rows: slice, batch_size: int) -> int:
    """How many rows of a batch a group takes."""
    return len(range(*rows.indices(batch_size)))


def slot_counts(curriculum: Curriculum, courses: Sequence[Course], length: int) -> tuple[dict[str, int], int]:
    """Slots that tensors hold for each of the courses of a group on rows of `length` tokens, by name, and the length
    of the rows after them: known from the shapes alone, and at least what any row needs."""
    slots = {}
    for course in in_order(courses):
        slots[course.name] = course.count(length, curriculum.ratios[course.name])
        if course.inserts:
            length = min(length + slots[course.name], curriculum.max_length)
    return slots, length


def count_losses(curriculum: Curriculum, rows: RowCounts, turn: int = 0) -> dict[str, Tensor]:
    """The places that each loss in use is averaged over, known before any row is corrupted.

    Args:
        curriculum: what is done with the rows.
        rows: the batch.
        turn: as in [`Schedule.groups`].

    Returns:
        Scalars by name of the loss: operated places for the generator, judged tokens for the discriminator, both in
        the rows that the loss sees. A correction averaged over its own cells has no such number and counts 1.
    """
    counts: dict[str, Tensor] = {}
    for courses, taken in curriculum.groups(turn):
        operated, present = _operated_counts(curriculum, courses, rows.operable[taken], rows.present[taken])
        everywhere = torch.stack(list(operated.values())).sum(0)
        for course in courses:
            judged = present - everywhere + operated[course.name]
            again = correction_rows(curriculum, len(judged))
            for loss in course.losses:
                if loss.corrects and curriculum.own_cells:
                    counts[loss.name] = torch.ones_like(judged.sum())
                else:
                    places = judged if loss.detects else operated[course.name]
                    counts[loss.name] = (places[:again] if loss.corrects else places).sum()
    return {name: counts[name] for name in counts if name in curriculum.weights}


def _operated_counts(
    curriculum: Curriculum, courses: Sequence[Course], free: Tensor, present: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Places of each row that each course operates on, `(batch,)` by name, where they share the rows, and all tokens
    that these then have."""
    operated = {}
    for course in in_order(courses):
        places = operated[course.name] = course.count(free, curriculum.ratios[course.name])
        if course.inserts:  # the row's last operable tokens give way to what does not fit
            longer = (present + places).clamp(max=curriculum.max_length)
            free = (free - (present + places - longer)).clamp(min=0)
            present = longer
        else:
            free = free - places
    return operated, present
