"""What all sides of the benchmarks share: its settings, the batches, the optimizer, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from transformers_mcl import MclConfig


@dataclass
class Arguments:
    """What is measured; the defaults are those of docs/speed.md."""

    batch_size: int = 16
    max_seq_length: int = 128
    vocab_size: int = 30522
    rounds: int = 9
    warmup_rounds: int = 2
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    dtype: str = field(
        default="float32",
        metadata={"choices": ["float32", "bfloat16", "float16"], "help": "those of 16 bits: under autocast"},
    )
    compile: bool = field(default=False, metadata={"help": "torch.compile every model"})
    clock: str = field(
        default="wall",
        metadata={
            "choices": ["wall", "cpu"],
            "help": "cpu: processor time of all threads, for a busy machine; means most with OMP_NUM_THREADS=1",
        },
    )
    seed: int = 0
    json: Path | None = field(default=None, metadata={"help": "also write all figures to this file"})


class Step:
    """A training step: `parts`, which take clean rows and give a loss, each with its backward; clipping; AdamW."""

    def __init__(self, model: nn.Module, parts: Sequence[Callable[[Tensor], Tensor]], arguments: Arguments):
        self.model, self.parts, self.arguments = model, parts, arguments
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)

    def __call__(self, clean: Tensor) -> None:
        self.optimizer.zero_grad()
        for part in self.parts:
            with autocast(self.arguments):
                loss = part(clean)
            if loss.requires_grad:  # otherwise it has gone back already, pass by pass
                loss.backward()
        self.update()

    def update(self) -> None:
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def autocast(arguments: Arguments) -> AbstractContextManager[object]:
    if arguments.dtype == "float32":
        return nullcontext()
    return torch.autocast(torch.device(arguments.device).type, dtype=getattr(torch, arguments.dtype))


def random_batch(arguments: Arguments, seed: int, length: int | None = None) -> Tensor:
    """Random ordinary tokens `(batch, length)` between `[CLS]` and `[SEP]`, packed: no padding."""
    config = MclConfig()
    shape = (arguments.batch_size, length or arguments.max_seq_length)
    draws = torch.Generator().manual_seed(seed)
    clean = torch.randint(config.mask_token_id + 1, arguments.vocab_size, shape, generator=draws)
    clean[:, 0], clean[:, -1] = config.cls_token_id, config.sep_token_id
    return clean.to(arguments.device)


def interleaved(work: Mapping[str, Callable[[int], object]], arguments: Arguments) -> dict[str, list[float]]:
    """Seconds of each piece of `work`, which takes the number of the round, in every round after the warm-up.

    Another one goes first in each round: who follows whom matters, if only by what is left in the caches.
    """
    names = list(work)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(arguments.warmup_rounds + arguments.rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            taken = timed(work[name], number, arguments)
            if number >= arguments.warmup_rounds:
                seconds[name].append(taken)
    return seconds


def timed(work: Callable[[int], object], number: int, arguments: Arguments) -> float:
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    synchronize(arguments.device)
    start = clock()
    work(number)
    synchronize(arguments.device)
    return clock() - start


def synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def operators(step: Step, arguments: Arguments) -> dict[str, float]:
    """Seconds of a step by torch's operators, without what they call; the mean of three steps after one."""
    clean, on_gpu = random_batch(arguments, arguments.seed), torch.device(arguments.device).type == "cuda"
    step(clean)  # makes the optimizer's state, and what is compiled
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiled:
        for _ in range(3):
            step(clean)
    kind = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    return {event.key: getattr(event, kind) / 3e6 for event in profiled.key_averages()}
