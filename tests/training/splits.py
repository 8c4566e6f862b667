"""Run by `test_splits.py`, alone or under torchrun: `transformers-mcl pretrain` with draws that follow each row.

Takes `[{"words": […], "own_draws": false}, …]` as its argument. Rows are recognized by their text, wherever they are
batched, so that runs that split the same rows differently corrupt them alike; all else is as it is for users, and the
draws too with `own_draws`. Each process notes in the output folder what it trained in, and what it masked first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState, DistributedType, PartialState
from torch import Tensor

from transformers_mcl import MclForPreTraining, MclTrainer
from transformers_mcl.cli.main import entry, main
from transformers_mcl.method import corruptions

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

    def __call__(self, shape: torch.Size, generator: Any, device: torch.device) -> Tensor:
        self.calls += 1
        seeds = [row + self.calls for row in self.rows]
        draws = [torch.rand(LONGEST, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(draws)[:, : shape[1:].numel()].view(shape).to(device)


def follow_rows() -> None:
    if isinstance(corruptions._uniform, RowDraws):
        return
    draws = RowDraws()
    corruptions._uniform = draws
    build = MclForPreTraining.__init__

    def built(self: MclForPreTraining, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.register_forward_pre_hook(draws.start, with_kwargs=True)

    MclForPreTraining.__init__ = built  # type: ignore[method-assign]


def shard_on_cpu() -> None:
    """accelerate has FSDP on accelerators only, and quietly goes on without; torch has it on CPUs as well."""
    set_up = AcceleratorState.__init__

    def with_fsdp(self: Any, *args: Any, **kwargs: Any) -> None:
        set_up(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU and (plugin := kwargs.get("fsdp_plugin")) is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugin
            PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = with_fsdp


def take_notes() -> None:
    step = MclTrainer.training_step

    def noted(self: MclTrainer, model: Any, inputs: Any, *args: Any) -> Tensor:
        masked: list[Tensor] = []
        config = self.model.config
        predict_at = self.model.predict_at

        def watched(ids: Tensor, *rest: Any) -> Tensor:
            masked.append(ids == config.mask_token_id)
            return predict_at(ids, *rest)

        self.model.predict_at = watched  # type: ignore[method-assign, assignment]
        loss = step(self, model, inputs, *args)
        del self.model.predict_at
        notes = {
            "processes": dist.get_world_size() if dist.is_initialized() else 1,
            "wrapper": type(model).__name__,
            "masked": masked[0].nonzero().tolist(),
        }
        path = Path(str(self.args.output_dir)) / f"notes-{self.args.process_index}.json"
        path.write_text(json.dumps(notes))
        return loss

    MclTrainer.training_step = noted  # type: ignore[method-assign, assignment]


def run(todo: list[dict[str, Any]]) -> int:
    for one in sorted(todo, key=lambda one: not one.get("own_draws")):  # before draws follow rows
        if not one.get("own_draws"):
            follow_rows()
        if status := main(one["words"]):
            return status
    return 0


if __name__ == "__main__":
    take_notes()
    shard_on_cpu()
    entry(lambda: run(json.loads(sys.argv[1])))
