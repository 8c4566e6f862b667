"""How fast a run trains and how much memory it needs: a few of its own steps, tried before it begins."""

from __future__ import annotations

import copy
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SchedulerType

from ..errors import UserError
from ..models.flops import step_flops
from .arguments import RATES, WARMUPS, MclTrainingArguments
from .callbacks import CourseLinesCallback
from .health import HealthCallback
from .memory import format_bytes, memory_limit, peak_memory, reset_peak_memory
from .signals import SaveOnSignalCallback
from .trainer import MclTrainer
from .workload import Workload

__all__ = ["PATIENCE", "Speed", "measurable", "measure", "rehearsal", "rough_seconds", "too_large"]

PATIENCE = 120.0
# A time is the median of blocks, of so many at least and at most, that together take these seconds; a block is as many
# steps as a quarter of a second has, so that a GPU is not waited for after each.
_BLOCK_SECONDS, _FEW_BLOCKS, _MOST_BLOCKS, _SECONDS = 0.25, 2, 15, 6.0
_PROBES = (16, 8)  # parts of a batch that are tried before all of it: how memory grows with the rows
_RATE = 1e-12  # at which nothing is learnt; what a rate is a share of must not be 0
_ENDLESS = 10**12
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_OF_A_PRODUCT = 0.5  # that training has, of the operations a second of one large product: roughly
_STATES = 3  # of a parameter, beside its value: gradient, and two of Adam
_EVALUATED = 4  # batches, of which an evaluation's time is known
# Where accelerate puts autocast round a model's forward; having done so, it would not again.
_FORWARD = ("forward", "_original_forward", "_is_accelerate_prepared")
# Every kind of run has one of these lengths, or nearly: which losses are in use together depends on it.
_STEPS = tuple(10**power for power in range(1, 8))
_clock = time.perf_counter
# Of a trainer that leaves nothing behind.
_QUIET: dict[str, Any] = {
    "eval_strategy": IntervalStrategy.NO,
    "save_strategy": IntervalStrategy.NO,
    "logging_strategy": IntervalStrategy.NO,
    "load_best_model_at_end": False,
    "push_to_hub": False,
    "push_revisions": False,
    "logging_first_step": False,
    "eval_on_start": False,
    # These would leave weights of 16 bits behind, and hide a batch that does not fit.
    "bf16_full_eval": False,
    "fp16_full_eval": False,
    "auto_find_batch_size": False,
    "report_to": [],
    "disable_tqdm": True,
}


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        seconds: of an optimizer step after all warm-ups of batches, by the losses in use.
        evaluation: seconds of an evaluation of all that is held out.
        memory: most bytes in use; see `peak_memory`. By operations, those that weights and optimizer need at least.
        by: what was measured: whole batches, parts of one, or where even these would have taken too long a product of
            matrices, beside which the operations of a step are known.
    """

    seconds: Mapping[frozenset[str], float]
    evaluation: float
    memory: float
    by: str = "whole batches"

    @property
    def estimated(self) -> bool:
        """Whether no whole batch was measured."""
        return self.by != "whole batches"

    def of_run(self, work: Workload) -> float:
        """Seconds of a run, its evaluations included; not of reading the text, or writing checkpoints."""
        args, longest = work.args, max(self.seconds.values())
        steps = sum(
            (end - begin) * self.seconds.get(_in_use(weights), longest)
            for begin, end, weights in args.phases(work.steps, work.config.weights)
        )
        # Batches that are smaller: at first, in a warm-up, and where an epoch ends.
        steps *= work.tokens / (work.steps * work.tokens_per_step)
        return steps + work.evaluations * self.evaluation

    def tokens_per_second(self, work: Workload) -> float:
        """Of the steps alone."""
        return work.tokens / (self.of_run(work) - work.evaluations * self.evaluation)


def measurable(trainer: MclTrainer) -> bool:
    """Whether a model can be trained for a few steps and then anew: what shards it does not give it back."""
    return not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def measure(trainer: MclTrainer, patience: float = PATIENCE, flops_per_second: float | None = None) -> Speed:
    """Trains a few steps on the run's own rows at a learning rate next to 0, of all the losses in use in turn.

    Afterwards everything is as it was: weights, random states, the courses' turn. So a run that follows has the same
    weights, bit for bit, as one that nothing was measured for.

    Args:
        trainer: of the run, before it trains. Of several processes each measures, and the slowest counts.
        patience: seconds that whole batches may take; if they would take longer, an eighth of one is all that is
            tried, and if that would, nothing is.
        flops_per_second: of a run like this one, for what is not tried; by default a part of what a product of
            matrices has.

    Raises:
        UserError: a batch does not fit in memory; says about how many rows do.
    """
    args = trainer.args
    if found := _by_operations(trainer, patience, flops_per_second):
        return found
    rows = args.per_device_eval_batch_size * args.world_size * _EVALUATED
    with _as_it_was(trainer.model, args.device), rehearsal(trainer, _still(trainer), eval_rows=rows) as own:
        clock = _Clock(own, _Laps(trainer, own, patience).run(), args.gradient_accumulation_steps)
        own.add_callback(clock)
        try:
            quiet = args.disable_tqdm or args.process_index > 0
            with tqdm(desc="measuring the speed", unit=" steps", leave=False, disable=quiet) as clock.bar:
                own.train()
            evaluation = _seconds_of_evaluation(trainer, own)
        except torch.OutOfMemoryError as error:
            raise UserError(too_large(trainer)) from error
    assert clock.found is not None  # what ended the training
    seconds, memory, by = clock.found
    tried = _tried(trainer)
    return Speed({losses: value / tried for losses, value in seconds.items()}, evaluation, memory, by)


@contextmanager
def rehearsal(
    trainer: MclTrainer, values: Mapping[str, Any], *callbacks: TrainerCallback, eval_rows: int | None = None
) -> Iterator[MclTrainer]:
    """Another trainer of the same model on the same rows, which says and leaves nothing; gone afterwards.

    Args:
        values: arguments that differ from those of `trainer`, as they are after `__post_init__`.
        eval_rows: how many held-out rows it has at most; all by default.
    """
    args, held_out = copy.copy(trainer.args), trainer.eval_dataset
    if eval_rows is not None and isinstance(held_out, Dataset):
        held_out = held_out.select(range(min(len(held_out), eval_rows)))
    with tempfile.TemporaryDirectory() as folder:
        for name, value in {**_QUIET, "output_dir": folder, **values}.items():
            setattr(args, name, value)
        own = MclTrainer(
            trainer._pair,
            args,
            train_dataset=trainer.train_dataset,
            eval_dataset=held_out,
            data_collator=trainer.data_collator,
            processing_class=trainer.processing_class,
            callbacks=list(callbacks),
        )
        for callback in (CourseLinesCallback, HealthCallback, SaveOnSignalCallback):
            own.remove_callback(callback)
        fields = vars(trainer._pair)
        before = {name: fields[name] for name in _FORWARD if name in fields}
        try:
            yield own
        finally:
            for name in _FORWARD:
                fields.pop(name, None)
            fields.update(before)


def _still(trainer: MclTrainer) -> dict[str, Any]:
    """Arguments by which nothing is learnt, of batches that are whole and not accumulated, for as long as it takes."""
    args = trainer.args
    values: dict[str, Any] = {"max_steps": _STEPS[-1], "dataloader_drop_last": _tried(trainer) == 1}
    values |= {name: _RATE for name in RATES if getattr(args, name) is not None}
    values |= {"lr_scheduler_type": SchedulerType.CONSTANT, "lr_scheduler_kwargs": {}, "warmup_steps": 0}
    values |= {"length_warmup_steps": 0, "length_warmup_lengths": None, "gradient_accumulation_steps": 1}
    return values


def _tried(trainer: MclTrainer) -> float:
    """Share of a batch that is tried: less than all where the text has no more."""
    rows, args = trainer.train_dataset, trainer.args
    return min(1.0, len(rows) / (args.train_batch_size * args.world_size)) if isinstance(rows, Dataset) else 1.0


@contextmanager
def _as_it_was(model: Any, device: torch.device) -> Iterator[None]:
    """Gives back weights, random states and all that training changes of a model."""
    weights = {name: value.to("cpu", copy=True) for name, value in model.state_dict().items()}
    kept = {name: getattr(model, name) for name in ("turn", "loss_weights", "temperature")}
    mode, drawn, numpys = model.training, random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            model.zero_grad()
            model.load_state_dict(weights)
            model.train(mode)
            for name, value in kept.items():
                setattr(model, name, value)
            random.setstate(drawn)
            np.random.set_state(numpys)
            gc.collect()  # what DDP has hung on the parameters goes with it
            if device.type == "cuda":
                torch.cuda.empty_cache()


def _seconds_of_evaluation(base: MclTrainer, own: MclTrainer) -> float:
    """Of all held-out rows, by some of them."""
    every, some = base.eval_dataset, own.eval_dataset
    if not (isinstance(every, Dataset) and isinstance(some, Dataset)):
        return 0.0
    began = _clock()
    own.evaluate()
    return _slowest(own, _clock() - began) * len(every) / len(some)


def too_large(trainer: MclTrainer, needed: float = 0.0, limit: float = 0.0, largest: int | None = None) -> str:
    """Says that a batch does not fit, and about how many rows do, if that is known.

    Args:
        needed, limit: bytes, if known.
        largest: rows that fit; 0 if none does.
    """
    args = trainer.args
    rows, batches = args.per_device_train_batch_size, args.gradient_accumulation_steps
    said = f"per_device_train_batch_size={rows} does not fit in the memory of {args.device}"
    if needed:
        said += f": it needs about {format_bytes(needed)} of {format_bytes(limit)}"
    if largest is not None and largest < 1:
        return f"{said}, and so does no row: give a smaller preset or max_seq_length"
    fewer = rows // 2 if largest is None else largest
    fewer = next((n for n in range(fewer, 1, -1) if rows * batches % n == 0 and 2 * n > fewer), fewer)
    known = "" if largest is None else f"the largest that does is about {largest}; "
    return (
        f"{said}; {known}give --per_device_train_batch_size {fewer} "
        f"--gradient_accumulation_steps {max(rows * batches // fewer, 1)}"
    )


_Found = tuple[dict[frozenset[str], float], float, str]


def _in_use(weights: Mapping[str, float]) -> frozenset[str]:
    return frozenset(name for name, weight in weights.items() if weight)


class _Phase(NamedTuple):
    weights: dict[str, float]  # of its losses
    warmups: dict[str, int]  # arguments that have every step train these


def _phases(trainer: MclTrainer) -> list[_Phase]:
    """The losses that are in use together at some time, the most of all at the end."""
    args, found = trainer.args, dict[frozenset[str], _Phase]()
    for steps in _STEPS:
        for begin, _, weights in args.phases(steps, trainer.model.config.weights):
            over = {name: begin >= min(getattr(args, f"get_{name}")(steps), steps) for name in WARMUPS}
            warmups = {name: 0 if over[name] else _ENDLESS for name in WARMUPS}
            found.setdefault(_in_use(weights), _Phase(weights, warmups))
    return sorted(found.values(), key=lambda phase: len(_in_use(phase.weights)))


def _flops(trainer: MclTrainer, rows: int, phase: Mapping[str, float]) -> float:
    """Of a micro-batch of rows as long as the held-out ones, or if there are none as the model has positions for."""
    config, held_out = trainer.model.config, trainer.eval_dataset
    length = config.max_position_embeddings
    if isinstance(held_out, Dataset):
        length = max(len(ids) for ids in held_out[:_EVALUATED]["input_ids"])
    return step_flops(config, rows, length, phase)


def _shared_out(trainer: MclTrainer, last: float) -> dict[frozenset[str], float]:
    """Seconds of a step of each phase, by their operations, where those of the last are known."""
    phases = {_in_use(phase.weights): _flops(trainer, 1, phase.weights) for phase in _phases(trainer)}
    return {losses: last * flops / max(phases.values()) for losses, flops in phases.items()}


def _by_operations(trainer: MclTrainer, patience: float, flops_per_second: float | None) -> Speed | None:
    """What can be said of a run that is too slow to be tried; None of another."""
    args, model = trainer.args, trainer.model
    every, some = (max(args.train_batch_size // part, 1) for part in (1, _PROBES[-1]))
    flops = _flops(trainer, 1, _phases(trainer)[-1].weights)
    speed = flops_per_second or 1 / _slowest(trainer, rough_seconds(1.0, args))
    if 2 * some * flops < patience * speed:
        return None
    step = every * flops / speed * args.gradient_accumulation_steps
    held_out = len(trainer.eval_dataset) if isinstance(trainer.eval_dataset, Dataset) else 0
    parameters = sum(parameter.numel() for parameter in model.parameters())
    memory = peak_memory(args.device) + 4 * _STATES * parameters
    if memory > (limit := memory_limit(args.device)):
        raise UserError(too_large(trainer, memory, limit, 0))
    return Speed(_shared_out(trainer, step), held_out * flops / 3 / speed, memory, "operations")


def rough_seconds(flops: float, args: MclTrainingArguments) -> float:
    """Of a training of so many operations on this process's device, by one large product in its precision."""
    size, seconds = _product(args.device, _DTYPES.get(args.mixed_precision, torch.float32))
    return flops * seconds / (_OF_A_PRODUCT * 2 * size**3)


def _product(device: torch.device, dtype: torch.dtype) -> tuple[int, float]:
    """The size of two matrices, and the seconds of their product."""
    size = 8192 if device.type == "cuda" else 1024
    a = torch.ones(size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(3):
        began = _clock()
        float((a @ a)[0, 0])  # waits for the device
        seconds.append(_clock() - began)
    return size, min(seconds)


def _slowest(trainer: MclTrainer, seconds: float) -> float:
    """Of all processes, so that they agree on what to do next."""
    everyone = torch.tensor([seconds], device=trainer.args.device)
    return float(trainer.accelerator.gather(everyone).max())


class _Laps:
    """Which steps are tried, one after the other: parts of a batch, then batches of each phase."""

    def __init__(self, base: MclTrainer, own: MclTrainer, patience: float):
        self._base, self._own, self._patience = base, own, patience
        self._device = base.args.device

    def run(self) -> Generator[int, float, _Found]:
        """Each `yield` of a number has so many steps done, and gets the seconds of one."""
        *_, last = phases = _phases(self._base)
        self._take(last)
        part = yield from self._probe()
        if part is not None:
            seconds = _shared_out(self._base, part)
            a_batch_each = sum(seconds.values()) / self._base.args.gradient_accumulation_steps
            if (_FEW_BLOCKS + 1) * a_batch_each > self._patience:
                return seconds, self._memory, "parts of a batch"
        reset_peak_memory(self._device)
        seconds = {}
        for phase in reversed(phases):  # what needs most memory first
            self._take(phase)
            seconds[_in_use(phase.weights)] = yield from self._median()
        return seconds, peak_memory(self._device), Speed.by

    def _take(self, phase: _Phase) -> None:
        """Has the next steps train its losses."""
        for name, value in phase.warmups.items():
            setattr(self._own.args, name, value)

    def _probe(self) -> Generator[int, float, float | None]:
        """Seconds of a batch, and whether it fits, by two smaller ones; None if it has too few rows to know."""
        args, full = self._own.args, self._own.args.per_device_train_batch_size
        few, more = (full // part for part in _PROBES)
        if not 0 < few < more or args.torch_compile:  # what is compiled for fewer rows would stay for the run
            args.batch_size_warmup_steps = 0
            return None
        args.batch_size_warmup_steps, peaks = _ENDLESS, []
        for args.batch_size_warmup_start in (few, few, more):  # the first makes the optimizer's state
            reset_peak_memory(self._device)
            seconds = yield 1
            peaks.append(peak_memory(self._device))
        args.batch_size_warmup_steps = 0
        a_row = max(peaks[2] - peaks[1], 0.0) / (more - few)
        self._memory = peaks[2] + a_row * (full - more)
        if self._memory > (limit := memory_limit(self._device)):
            raise UserError(
                too_large(self._base, self._memory, limit, int(more + (limit - peaks[2]) / max(a_row, 1.0)))
            )
        return seconds * full / more

    def _median(self) -> Generator[int, float, float]:
        """Seconds of a step of the run, of blocks after one that warms up."""
        steps = max(1, round(_BLOCK_SECONDS / (yield 1)))
        blocks: list[float] = []
        while len(blocks) < _FEW_BLOCKS or (sum(blocks) * steps < _SECONDS and len(blocks) < _MOST_BLOCKS):
            blocks.append((yield steps))
        return statistics.median(blocks)


class _Clock(TrainerCallback):
    """Has the laps run, and tells them their time: of several processes that of the slowest, so that all agree."""

    def __init__(self, own: MclTrainer, laps: Generator[int, float, _Found], accumulated: int):
        self._own, self._laps, self._accumulated = own, laps, accumulated
        self.found: _Found | None = None
        self.bar: tqdm[Any] = tqdm(disable=True)
        self._left = next(laps)
        self._steps, self._optimizer, self._began = self._left, 0.0, 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = self._now()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        if self._accumulated > 1:
            self._optimizer -= self._now()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        if self._accumulated > 1:
            self._optimizer += self._now()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._left -= 1
        self.bar.update()
        if self._left:
            return
        once = self._optimizer  # however many batches come before it
        seconds = ((self._now() - self._began - once) * self._accumulated + once) / self._steps
        try:
            self._left = self._steps = self._laps.send(_slowest(self._own, seconds))
        except StopIteration as ended:
            self.found, control.should_training_stop = ended.value, True
        self._optimizer, self._began = 0.0, self._now()

    def _now(self) -> float:
        if self._own.args.device.type == "cuda":
            torch.cuda.synchronize(self._own.args.device)
        return _clock()
