"""SIGTERM, as a cluster's scheduler sends it before it takes the machine away: save, then end."""

from __future__ import annotations

from contextlib import ExitStack
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..io import at_sigterm
from .arguments import changed

__all__ = ["SaveOnSignalCallback"]


class SaveOnSignalCallback(TrainerCallback):
    """At SIGTERM to any process of a run, all end the step they are in, save one checkpoint and stop training.

    Attributes:
        stopped: whether that happened.
        listening: left at the end of training; whoever trains leaves it, too, since training may end by an error.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._asked = False
        self.listening = ExitStack()  # until training ends
        self._group: dist.ProcessGroup | None = None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.stopped = self._asked = False
        self.listening.enter_context(at_sigterm(self._ask))
        if args.world_size > 1:
            # Between processors: asking every step must not wait for the devices.
            self._group = dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._anyone_asked():
            self.stopped = control.should_save = control.should_training_stop = True
            control.should_evaluate = False

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.stopped:  # all is saved: no second time, and no evaluation in the time that is left
            control.should_save = control.should_evaluate = False
            # Or transformers would take the time to load it.
            self.listening.enter_context(changed(args, load_best_model_at_end=False))

    def _anyone_asked(self) -> bool:
        """All processes must stop at the same step: at its end they agree."""
        if self._group is None:
            return self._asked
        asked = torch.tensor(int(self._asked))
        dist.all_reduce(asked, op=dist.ReduceOp.MAX, group=self._group)
        return bool(asked)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.listening.close()
