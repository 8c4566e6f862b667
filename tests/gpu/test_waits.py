"""Nothing in a step waits for the device, which would stand still meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tests.training.test_metric_sums import Reads, Waiting
from transformers_mcl import MclTrainer

from .conftest import make_pair, on


@contextmanager
def never_waiting(device: str) -> Iterator[None]:
    """An error where something waits: at once on a GPU, where CUDA watches; on a CPU at the end, for what reads."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
    else:
        reads = Reads()
        waiting = Waiting(reads)
        with reads, waiting:
            yield
        if reads.reads[0] or waiting.calls[0]:
            raise RuntimeError(f"{reads.reads[0]} reads, {waiting.calls[0]} operators that wait")


@pytest.mark.parametrize(
    "read", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.nonzero, lambda x: bool(x[0]), torch.Tensor.cpu]
)
def test_what_waits_is_found(read: Callable[[torch.Tensor], Any], device: str) -> None:
    """Otherwise the others say nothing."""
    value = torch.ones(3, device=device)
    with pytest.raises(RuntimeError), never_waiting(device):
        read(value)


@pytest.mark.parametrize("padding", ["none", "right"])
@pytest.mark.parametrize("objective", ["electra", "mcl"])
def test_nothing_in_a_step_waits(objective: str, padding: str, device: str) -> None:
    pair, inputs = make_pair(device, objective=objective, hidden_dropout_prob=0.1), on(device, padding)
    optimizer = torch.optim.AdamW(pair.parameters(), fused=True)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss = pair(**inputs, backward=torch.Tensor.backward).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step()  # makes the optimizer's state, and what kernels need once
    with never_waiting(device):
        step()


class Between(TrainerCallback):
    """Watches from the end of one step to the end of another: a step's log, which reads, comes after its end."""

    def __init__(self, first: int, last: int, device: str):
        self.first, self.last, self.device, self.stack = first, last, device, ExitStack()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == self.first:
            self.stack.enter_context(never_waiting(self.device))
        elif state.global_step == self.last:
            self.stack.close()


@pytest.mark.parametrize("objective", ["electra", "mcl"])
def test_nothing_in_a_run_waits_between_logs(objective: str, device: str, trainer: Callable[..., MclTrainer]) -> None:
    made = trainer({"objective": objective}, max_steps=4, logging_steps=4, gradient_accumulation_steps=2)
    made.add_callback(Between(1, 4, device))
    made.train()
    assert made.state.global_step == 4
