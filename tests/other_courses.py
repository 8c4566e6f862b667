"""Two courses that the package does not have, as a user would write them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from transformers_mcl.method.corruptions import Corruption, operated_count, substitute
from transformers_mcl.method.courses import COURSES, Course, Loss, Rows, register_course


def span(rows: Rows, counts: Tensor, slots: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Positions of `counts` operable tokens in a row, one after the other from a random one on, and their validity."""
    operable = rows.operable
    place = torch.arange(operable.shape[1], device=operable.device)
    ordered = torch.where(operable, place, place + operable.shape[1]).argsort(1)
    draw = torch.rand(len(rows), generator=generator, device=operable.device)
    start = (draw * (operable.sum(1) - counts + 1)).long()
    slot = torch.arange(slots, device=operable.device)
    return ordered.gather(1, (start[:, None] + slot).clamp(max=operable.shape[1] - 1)), slot < counts[:, None]


class ReversedSpan(Course):
    """A span of tokens is reversed, and restored."""

    name = "rsd"
    title = "Reversed span detection"
    summary = "A span of tokens is reversed, G restores it, D says which tokens are not the original ones."
    colour = "#CC79A7"
    ratio_name = "reverse_ratio"
    ratio = 0.2
    least = 2
    corrupted = "x_rev"
    operation = "reversed"
    generate = Loss("rlm")
    detect = Loss("rsd", 50.0, detects=True)
    regenerate = Loss("again_rlm", corrects=True)
    rediscriminate = Loss("again_rsd", 50.0, detects=True, corrects=True)

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        ids, counts = rows.input_ids, self.count(rows.operable.sum(1), ratio)
        positions, valid = span(rows, counts, self.count(ids.shape[1], ratio), generator)
        originals = ids.gather(1, positions)
        backwards = (counts[:, None] - 1 - torch.arange(positions.shape[1], device=ids.device)).clamp(min=0)
        reversed_ids = substitute(ids, positions, originals.gather(1, backwards), valid)
        return Corruption(reversed_ids, positions, valid, originals.masked_fill(~valid, -100), rows.attention_mask)


class MaskedSpan(Course):
    """A span of masks, whose length is a multiple of three."""

    name = "msd"
    title = "Masked span detection"
    summary = "A span is masked, G fills it in, D says which tokens are not the original ones."
    colour = "#F0E442"
    ratio_name = "span_ratio"
    ratio = 0.4
    corrupted = "x_span"
    operation = "masked as a span"
    generate = Loss("span_lm")
    detect = Loss("msd", 50.0, detects=True)

    def count(self, tokens: Any, ratio: float) -> Any:
        return 3 * operated_count(tokens // 3, ratio)

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        ids, counts = rows.input_ids, self.count(rows.operable.sum(1), ratio)
        positions, valid = span(rows, counts, self.count(ids.shape[1], ratio), generator)
        masked = substitute(ids, positions, torch.full_like(positions, rows.special.mask), valid)
        originals = ids.gather(1, positions)
        return Corruption(masked, positions, valid, originals.masked_fill(~valid, -100), rows.attention_mask)


@contextmanager
def registered(*courses: Course) -> Iterator[None]:
    """The courses are known inside, and not after."""
    for course in courses:
        register_course(course)
    try:
        yield
    finally:
        for course in courses:
            del COURSES[course.name]
