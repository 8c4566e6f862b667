"""Fewer and shorter rows in the first steps of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError

__all__ = ["SHORTEST_ROW", "BatchWarmup"]

# [CLS], [SEP], and a few tokens between them to operate on.
SHORTEST_ROW = 8


@dataclass(frozen=True)
class BatchWarmup:
    """How many rows a micro-batch has at each step of a run, and how long they are.

    A function of the step alone: a resumed run goes on where it was. The data loader's batches are always whole, so
    that epochs, their order and their number of steps stay what they are; the other rows of a step are left out.

    Args:
        start, full: rows of a process's micro-batch at the first step and after the warm-up.
        steps: optimizer steps over which they grow.
        lengths: lengths of the rows, in tokens, for an equal part of `length_steps` each.
        length_steps: optimizer steps on rows shorter than the data's.
    """

    start: int
    full: int
    steps: int = 0
    lengths: tuple[int, ...] = ()
    length_steps: int = 0

    def check(self, length: int, packed: bool) -> None:
        """Raises UserError if rows of `length` tokens cannot be cut: no longer than the warm-up's, or with padding."""
        if self.lengths and self.lengths[-1] >= length:
            raise UserError(f"length_warmup_lengths={list(self.lengths)} must stay below max_seq_length={length}")
        if self.lengths and not packed:
            raise UserError("length_warmup_lengths cuts packed rows: leave out --line_by_line, whose rows are short")

    def rows(self, step: int) -> int:
        """Rows of a micro-batch at `step`, counted from 0: from `start` on, with as many steps to each number."""
        if step >= self.steps:
            return self.full
        return self.start + (self.full + 1 - self.start) * step // self.steps

    def length(self, step: int) -> int | None:
        """Length of the rows at `step`; None for the data's."""
        return self.lengths[step * len(self.lengths) // self.length_steps] if step < self.length_steps else None

    def cut(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """What of a batch, tensors of shape `(batch, length)`, is trained on at `step`.

        Raises:
            UserError: the rows are to be cut, and have an attention mask: they would begin and end in padding.
        """
        cut = {name: values[: self.rows(step)] for name, values in batch.items()}
        length = self.length(step)
        if length is None or length >= cut["input_ids"].shape[1]:
            return cut
        if "attention_mask" in cut:
            raise UserError("length_warmup_lengths cuts packed rows, and these have an attention mask")
        return {name: split_rows(values, length, name == "input_ids") for name, values in cut.items()}


def split_rows(rows: Tensor, length: int, ends: bool) -> Tensor:
    """Rows cut into as many of `length` as they are long, each with the two ends of the row that it is from.

    The ends take the place of tokens, of which the last few are left out: a row of 512 gives four of 128, which hold
    504 of its 510 tokens.

    Args:
        rows (`Tensor` of shape `(batch, row length)`): packed rows.
        length: of the new rows.
        ends: whether the new rows begin and end as the old ones, ids with `[CLS]` and `[SEP]`. If not, as the token
            beside: for what belongs to each token, such as the number of its document.

    Returns:
        `(batch * (row length // length), length)`; the parts of a row stand together.
    """
    count, batch = rows.shape[1] // length, len(rows)
    inside = rows[:, 1 : 1 + count * (length - 2)].reshape(batch, count, length - 2)
    first, last = inside[..., :1], inside[..., -1:]
    if ends:
        first, last = rows[:, :1, None].expand_as(first), rows[:, -1:, None].expand_as(last)
    return torch.cat([first, inside, last], -1).flatten(0, 1)
