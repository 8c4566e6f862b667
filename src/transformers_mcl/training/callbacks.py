"""What is seen on the terminal while a run goes on, and draws of its own for every process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from ..method.courses import COURSES, MAIN_COURSE
from .seeds import stream_seed

__all__ = [
    "BoundaryCallback",
    "CourseProgressCallback",
    "RankSeedCallback",
    "bars_closed",
    "format_seconds",
    "summary_line",
]

# A detail of the first steps (allocations, compilation) that would spoil the estimate, and the steps it is made from.
_IGNORED_STEPS, _MEASURED_STEPS = 3, 10


class CourseProgressCallback(ProgressCallback):
    """Progress bars, a line of the main figures at each log, and an estimate of the time once steps were measured."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.training_bar: tqdm[Any] | None = None
        self._first_step, self._started = 0, 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self._first_step = state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_step_end(args, state, control, **kwargs)
        steps = state.global_step - self._first_step
        if steps == _IGNORED_STEPS:
            self._started = time.perf_counter()
        elif steps == _IGNORED_STEPS + _MEASURED_STEPS and self.training_bar is not None:
            a_step = (time.perf_counter() - self._started) / _MEASURED_STEPS
            left = format_seconds(a_step * (state.max_steps - state.global_step))
            self.training_bar.write(f"{a_step:.3g} s a step: about {left} to go, evaluations not counted")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.training_bar is not None and logs is not None and (line := summary_line(logs)):
            self.training_bar.write(f"step {state.global_step:>7}  {line}")
            if speed := logs.get("tokens_per_second"):  # of the time left, the bar itself knows
                self.training_bar.set_postfix_str(f"{speed:,.0f} tokens/s")


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


def summary_line(logs: dict[str, float]) -> str:
    """The main figures of a training log or an evaluation in one line; empty for any other log."""
    held_out = "eval_loss" in logs
    prefix = "eval_" if held_out else ""
    main = COURSES[MAIN_COURSE]
    # What one line has room for.
    columns = {"loss": "loss {:.2f}"}
    if main.generate is not None:
        columns |= {
            f"{main.generate.name}_loss": f"{main.generate.name} {{:.3f}}",
            f"{main.name}_masked_lm_accuracy": f"{main.generate.name} acc {{:.3f}}",
        }
    columns |= {f"{name}_disc_auc": f"{'auc ' * (name == MAIN_COURSE)}{name} {{:.3f}}" for name in COURSES}
    parts = [form.format(logs[prefix + name]) for name, form in columns.items() if prefix + name in logs]
    return ("held out: " if held_out else "") + "  ".join(parts) if parts else ""


def format_seconds(seconds: float) -> str:
    """A duration as a person would say it: `45 s`, `3 min 20 s`, `5 h 12 min`, `2 d 3 h`."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    units = [(days, "d"), (h, "h"), (m, "min"), (s, "s")]
    first = next((i for i, (value, _) in enumerate(units) if value), len(units) - 1)
    return " ".join(f"{value} {unit}" for value, unit in units[first : first + 2] if value) or "0 s"
