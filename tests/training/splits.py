"""Run by `test_splits.py`, alone or under torchrun: `transformers-mcl pretrain` with draws that follow each row.

Each run's words come as one line of JSON on stdin. Rows are recognized by their text, wherever they are batched, so that
runs that split the same rows differently corrupt them alike; all else is as it is for users.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from torch import Tensor

from transformers_mcl import MclForPreTraining, courses
from transformers_mcl.cli.main import main

LONGEST = 512


class RowDraws:
    """The n-th draw of a row in a step depends on the row and n alone."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.calls = 0

    def start(self, model: Any, arguments: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
        ids = keywords["input_ids"] if "input_ids" in keywords else arguments[0]
        self.calls = 0
        self.rows = [hash(tuple(row[row != 0].tolist())) % 2**40 for row in ids]

    def __call__(self, shape: torch.Size, *_: Any) -> Tensor:
        self.calls += 1
        seeds = [row + self.calls for row in self.rows]
        draws = [torch.rand(LONGEST, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(draws)[:, : shape[1:].numel()].view(shape)


def follow_rows() -> None:
    draws = RowDraws()
    courses._uniform = draws  # type: ignore[assignment]
    build = MclForPreTraining.__init__

    def built(self: MclForPreTraining, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.register_forward_pre_hook(draws.start, with_kwargs=True)

    MclForPreTraining.__init__ = built  # type: ignore[method-assign]


if __name__ == "__main__":
    follow_rows()
    for words in json.loads(sys.argv[1]):
        if status := main(words):
            sys.exit(status)
