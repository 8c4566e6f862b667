"""How much a run reads and computes, known before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from ..models.configuration_mcl import MclConfig
from .arguments import MclTrainingArguments
from .batch_warmup import BatchWarmup

__all__ = ["Workload"]


@dataclass(frozen=True)
class Workload:
    """A whole run, over all its processes; padding is no token."""

    args: MclTrainingArguments
    config: MclConfig
    steps: int  # of the optimizer
    rows: int | None  # to train on; None of a stream
    row_tokens: float  # of a row, special ones too; a mean where rows differ

    @property
    def tokens_per_step(self) -> int:
        """Of a step of whole batches after all warm-ups."""
        return round(self._step_rows * self.args.world_size * self.row_tokens)

    @cached_property
    def tokens(self) -> int:
        """Of all steps: exact for packed rows, and for others over whole epochs."""
        warmup = self.args.get_batch_warmup(self.steps)
        warm = min(self.steps, max(warmup.steps, warmup.length_steps))
        tokens = sum(self._warmup_tokens(warmup, step) for step in range(warm))
        tokens += (self._rows_until(self.steps) - self._rows_until(warm)) * self.row_tokens
        return round(tokens * self.args.world_size)

    @property
    def epochs(self) -> str:
        if self.rows is None:
            return "of a stream"
        return f"{self._rows_until(self.steps) * self.args.world_size / self.rows:.2f} epochs"

    @property
    def epoch_steps(self) -> int:
        """Of an epoch; of a stream, which has none, all."""
        return math.ceil(self._epoch_rows / self._step_rows)

    @property
    def evaluations(self) -> int:
        """How often the held-out text is evaluated, the end of the run included."""
        args = self.args
        if args.eval_strategy == "steps" and args.eval_steps:
            every = math.ceil(args.eval_steps * self.steps) if args.eval_steps < 1 else args.eval_steps
            return int(self.steps // every) + 1
        return 1 + (self.steps // self.epoch_steps if args.eval_strategy == "epoch" else 0)

    @property
    def flops(self) -> float:
        """Floating-point operations; attention over shorter rows is taken for that over whole ones."""
        whole = self.args.planned_flops(self.config, self.steps, round(self.row_tokens))
        return whole * self.tokens / (self.steps * self.tokens_per_step)

    @property
    def _step_rows(self) -> int:
        """A process's, as its loader gives them: a warm-up leaves some out."""
        return self.args.train_batch_size * self.args.gradient_accumulation_steps

    @cached_property
    def _epoch_rows(self) -> int:
        """A process's. Of several processes all batches are whole: accelerate repeats rows."""
        if self.rows is None:
            return self.steps * self._step_rows
        size = self.args.train_batch_size
        rounds = self.rows / (size * self.args.world_size)
        if self.args.dataloader_drop_last:
            return math.floor(rounds) * size
        return self.rows if self.args.world_size == 1 else math.ceil(rounds) * size

    def _rows_until(self, step: int) -> int:
        """A process's rows of all steps before this one."""
        epochs, step = divmod(step, self.epoch_steps)
        return epochs * self._epoch_rows + min(step * self._step_rows, self._epoch_rows)

    def _warmup_tokens(self, warmup: BatchWarmup, step: int) -> float:
        """A process's tokens of one step."""
        rows, size = self._rows_until(step + 1) - self._rows_until(step), self.args.train_batch_size
        batches, last = divmod(rows, size)
        kept = batches * min(size, warmup.rows(step)) + min(last, warmup.rows(step))
        length = warmup.length(step)
        return kept * (self.row_tokens if length is None else self.row_tokens // length * length)
