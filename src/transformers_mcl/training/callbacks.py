"""What is seen on the terminal while a run goes on, and draws of its own for every process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from ..method.courses import COURSES, MAIN_COURSE
from .arguments import WARMUPS
from .seeds import stream_seed

__all__ = [
    "BoundaryCallback",
    "CourseLinesCallback",
    "CourseProgressCallback",
    "RankSeedCallback",
    "bars_closed",
    "format_seconds",
    "main_figures",
    "show_lines",
    "summary_line",
]

# A detail of the first steps (allocations, compilation) that would spoil the estimate, and the steps it is made from.
_IGNORED_STEPS, _MEASURED_STEPS = 3, 10


class CourseLinesCallback(TrainerCallback):
    """A line of the main figures at each log, and an estimate of the time once steps were measured, anew where further
    losses begin: what a log file shows of a run."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._training, self._first_step, self._started = False, 0, 0.0

    @staticmethod
    def line(logs: Mapping[str, float]) -> str:
        """What is shown of a log; of one without figures, an empty text."""
        return summary_line(logs)

    def write(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()  # into a file, too: it is looked at while the run goes on

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self._training, self._first_step = state.is_world_process_zero, state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_step_end(args, state, control, **kwargs)
        begins = {self._first_step, *(warmup(state.max_steps) for warmup in _warmups(args))}
        steps = state.global_step - max(begin for begin in begins if begin < state.global_step)
        if steps == _IGNORED_STEPS:
            self._started = time.perf_counter()
        elif steps == _IGNORED_STEPS + _MEASURED_STEPS and self._training:
            a_step = (time.perf_counter() - self._started) / _MEASURED_STEPS
            left = format_seconds(a_step * (state.max_steps - state.global_step))
            later = " and later losses" * (max(begins) > state.global_step)
            self.write(f"{a_step:.3g} s a step: about {left} to go without evaluations{later}")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._training and logs is not None and (line := self.line(logs)):
            evaluated = any(name.startswith("eval_") for name in logs)  # of several sets: eval_<set>_loss
            kind, of = "eval" if evaluated else "step", str(state.max_steps)
            self.write(f"{kind} {state.global_step:>{len(of)}}/{of}  {line}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_end(args, state, control, **kwargs)
        self._training = False  # what is evaluated afterwards is a result, and no line of a run


def _warmups(args: Any) -> list[Callable[[int], int]]:
    """The steps at which further losses begin, by the length of the run."""
    return [getattr(args, f"get_{name}") for name in WARMUPS if hasattr(args, name)]


class CourseProgressCallback(CourseLinesCallback, ProgressCallback):
    """The same above progress bars, which know the speed and the time left."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.training_bar: tqdm[Any] | None = None

    def write(self, line: str) -> None:
        if self.training_bar is not None:
            self.training_bar.write(line)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().on_log(args, state, control, logs, **kwargs)
        if self.training_bar is not None and (speed := (logs or {}).get("tokens_per_second")):
            self.training_bar.set_postfix_str(f"{speed:,.0f} tokens/s")


def show_lines(trainer: Trainer, lines: type[TrainerCallback], bars: type[TrainerCallback]) -> bool:
    """Puts `bars` in place of transformers' progress bars, or `lines` in place of its printed logs; whether there were
    either, and not a notebook's table."""
    for theirs, ours in ((ProgressCallback, bars), (PrinterCallback, lines)):
        if trainer.pop_callback(theirs) is not None:
            trainer.add_callback(ours)
            return True
    return False


@contextmanager
def bars_closed(callbacks: Iterable[TrainerCallback]) -> Iterator[None]:
    """Ends the progress bars' lines where something is raised, so that its message has one of its own."""
    try:
        yield
    except BaseException:
        for callback in callbacks:
            for name in ("prediction_bar", "training_bar"):
                if (bar := getattr(callback, name, None)) is not None:
                    bar.close()
        raise


class RankSeedCallback(TrainerCallback):
    """Draws of its own for every process: transformers seeds all alike, and all would mask the same positions."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.world_size > 1:  # a resumed run loads its saved states after this
            torch.manual_seed(stream_seed(args.seed, args.process_index))


class BoundaryCallback(TrainerCallback):
    """Calls a trainer back when all of a run is there, a resumed one's state as well, and no batch was read; and at
    the run's end."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]):
        self._begin, self._end = begin, end

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._begin()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._end()


def main_figures(logs: Mapping[str, float]) -> dict[str, str]:
    """What there is room for of a training log or an evaluation, by what it is called; empty for any other log."""
    prefix, main = "eval_" if "eval_loss" in logs else "", COURSES[MAIN_COURSE]
    columns = {"loss": ("loss", "{:.2f}")}
    if main.generate is not None:
        columns[main.generate.name] = (f"{main.generate.name}_loss", "{:.3f}")
    judged = [name for name in COURSES if f"{prefix}{name}_disc_auc" in logs]
    columns |= {f"{'auc ' * (not i)}{name}": (f"{name}_disc_auc", "{:.3f}") for i, name in enumerate(judged)}
    return {name: form.format(logs[prefix + key]) for name, (key, form) in columns.items() if prefix + key in logs}


def summary_line(logs: Mapping[str, float]) -> str:
    """The main figures of a training log or an evaluation in one line; empty for any other log."""
    return "  ".join(f"{name} {value}" for name, value in main_figures(logs).items())


def format_seconds(seconds: float) -> str:
    """A duration as a person would say it: `45 s`, `3 min 20 s`, `5 h 12 min`, `2 d 3 h`."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    units = [(days, "d"), (h, "h"), (m, "min"), (s, "s")]
    first = next((i for i, (value, _) in enumerate(units) if value), len(units) - 1)
    return " ".join(f"{value} {unit}" for value, unit in units[first : first + 2] if value) or "0 s"
