"""transformers' Trainer with checkpoints that a run can always go on from, for pre-training and fine-tuning alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.trainer import OPTIMIZER_NAME, SCALER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput
from transformers.utils import logging

from ..hub.push import PushingTrainer, without_pickles
from .arguments import changed
from .checkpoints import remembered, remove_old, writing
from .optimizers import settings
from .states import check_like, check_optimizer, fitting

__all__ = ["ResumableTrainer"]

logger = logging.get_logger(__name__)


class ResumableTrainer(PushingTrainer):
    """transformers' Trainer, but that

    - a checkpoint is marked until all of it is there, and no other is removed and nothing uploaded before;
    - only checkpoints that carry this package's mark are ever removed (`checkpoints`), and never the last one;
    - a run that has reached its end, or was stopped by a callback at a checkpoint, trains no further;
    - the best checkpoint is found beside the one that a run goes on from, wherever the folder has been moved to.
    """

    def to_remember(self) -> dict[str, Any]:
        """What a checkpoint is to remember of its run, as JSON has it."""
        return {}

    def save_more(self, checkpoint: Path) -> None:
        """Called on each process: writes what else belongs into a checkpoint."""

    @property
    def stopped_by_signal(self) -> bool:
        """Whether training ended before its time, and is to go on."""
        return False

    def check_resumable(self, checkpoint: str | None) -> None:
        """Tries what a checkpoint holds on an optimizer of its own; later is after the first files are written.

        Raises:
            UserError: it does not fit.
        """
        if checkpoint is None or self.is_fsdp_enabled or self.is_deepspeed_enabled:  # whose state is in pieces
            return
        before = self.optimizer
        self.create_optimizer_and_scheduler(max(self.args.max_steps, 1000))  # any number: that of epochs is not known
        self._load_optimizer_and_scheduler(checkpoint)
        self._load_scaler(checkpoint)
        self.optimizer, self.lr_scheduler = before, None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Trainer's, private: no callback is called at both ends of its writing, nor sees a full disk."""
        args, state = self.args, self.state
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        run = self.to_remember()
        if self.control.should_training_stop and state.global_step < state.max_steps and not self.stopped_by_signal:
            run["stopped_before"] = state.max_steps
        with writing(folder, run if args.should_save else None):
            self.accelerator.wait_for_everyone()
            with changed(args, save_total_limit=None, push_to_hub=False):
                super()._save_checkpoint(model, trial)
            self.save_more(folder)
            if args.should_save:
                run["best"] = state.best_model_checkpoint and Path(state.best_model_checkpoint).name
                _without_folders(folder / TRAINER_STATE_NAME)
            self.accelerator.wait_for_everyone()
        if args.push_to_hub:
            with without_pickles():
                self._push_from_checkpoint(str(folder))
        if args.should_save:
            remove_old(folder.parent, args.save_total_limit, state.best_model_checkpoint)

    def save_state(self) -> None:
        """As [`~transformers.Trainer`]'s, without the folder of the best checkpoint, which is one of this machine."""
        with changed(self.state, best_model_checkpoint=None):
            super().save_state()

    def _init_training_state(
        self, max_steps: int, steps_an_epoch: int, epochs: int, resume_from_checkpoint: str | None, trial: Any
    ) -> Any:
        """Trainer's, private: the only place between the reading of a checkpoint's state and its use."""
        begun = super()._init_training_state(max_steps, steps_an_epoch, epochs, resume_from_checkpoint, trial)
        run = remembered(resume_from_checkpoint) if resume_from_checkpoint is not None else {}
        self._was_stopped = run.get("stopped_before") == max_steps
        if resume_from_checkpoint is not None and (best := run.get("best")):
            beside = Path(resume_from_checkpoint).parent / best
            self.state.best_model_checkpoint = str(beside) if beside.is_dir() else None
            if not beside.is_dir():
                logger.warning(f"the best checkpoint until now, {beside}, is gone: the best of those to come is taken")
        return begun

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Trainer's, private: the only place before the first step that has an optimizer and what was saved of it."""
        if checkpoint is None or self.optimizer is None or self.lr_scheduler is None:
            return
        folder, own = Path(checkpoint), settings(self.optimizer)
        _check_small(folder / SCHEDULER_NAME, self.lr_scheduler.state_dict(), "last_epoch")
        with fitting(next(folder.glob("optimizer*"), folder / OPTIMIZER_NAME)):
            super()._load_optimizer_and_scheduler(checkpoint)
            if not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
                check_optimizer(getattr(self.optimizer, "optimizer", self.optimizer), own)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Trainer's, private; what was trained in fp16 may go on without."""
        if checkpoint is None or (scaler := self.accelerator.scaler) is None:
            return
        _check_small(Path(checkpoint) / SCALER_NAME, scaler.state_dict(), *scaler.state_dict())
        super()._load_scaler(checkpoint)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Trainer's, private: it looks for the end of a run only after a step."""
        if self.state.global_step < self.state.max_steps and not self._was_stopped:
            return super()._run_epoch(*args, **kwargs)
        self.control.should_training_stop = True
        return None

    def _finalize_training(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Trainer's, private: it would remove the last checkpoint where another is the best, and nothing could be gone
        on from."""
        with changed(self.args, save_total_limit=None):
            output = super()._finalize_training(*args, **kwargs)
        if self.state.global_step > self._initial_global_step:
            return output
        logger.warning(f"the run has had all of its {self.state.global_step:,} steps: nothing more is trained")
        self.state.log_history.pop()  # the summary, of a loss of 0
        return TrainOutput(output.global_step, output.training_loss, {})


def _check_small(path: Path, own: dict[str, Any], *needed: str) -> None:
    """Raises UserError if what a file holds, if there is one, is not like `own`, or lacks what is `needed` of it."""
    if not path.is_file():
        return
    with fitting(path):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        check_like(saved, own)
        check_like({name: saved[name] for name in needed}, own)


def _without_folders(state: Path) -> None:
    """The best checkpoint is remembered by its name: its folder may move, and is nobody else's business."""
    found = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps({**found, "best_model_checkpoint": None}, indent=2) + "\n", encoding="utf-8")
