"""The checkpoints of a run as revisions on the Hub, while it trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from ..errors import UserError
from ..hub.revisions import push_revision
from ..io import one_line
from .resumable import ResumableTrainer

__all__ = ["RevisionsCallback", "push_checkpoints"]

logger = logging.get_logger(__name__)


_PATIENCE = 600.0  # seconds that the end of a run waits for the Hub, which may never answer


class RevisionsCallback(TrainerCallback):
    """Pushes each checkpoint when it is saved ([`push_revision`]); that which a run goes on from as well, of which an
    earlier push may have been cut short.

    It does so in a thread of its own: whatever the network does, training goes on, and its end waits ten minutes at
    most. What fails is a warning, and is tried again at the next checkpoint and at the end, as long as its folder is
    there.

    Args:
        name: of the repository, which is there.
        token: of who may write into it.
        in_a_hurry: whether the end cannot wait.
    """

    def __init__(self, name: str, token: str | None = None, in_a_hurry: Callable[[], bool] = lambda: False):
        self.name, self._token, self._in_a_hurry = name, token, in_a_hurry
        self._waiting: list[Path] = []
        self._thread: Thread | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._waiting = []  # a new one: a thread of the run before may still have its own
        if state.global_step and _checkpoint(args, state).is_dir():
            self.on_save(args, state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._waiting.append(_checkpoint(args, state))
        self._start()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._thread is not None and not self._in_a_hurry():
            end = monotonic() + _PATIENCE
            self._thread.join(_PATIENCE)  # what is on its way, then what failed before
            if self._waiting:
                self._start().join(max(end - monotonic(), 0))
        if self._waiting:
            left = [folder.name + " (removed)" * (not folder.is_dir()) for folder in self._waiting]
            logger.warning(
                f"push_revisions: not on {self.name}: {', '.join(left)}; transformers_mcl.hub.revisions.push_revision "
                "pushes one that is still there"
            )

    def _start(self) -> Thread:
        """The thread that pushes: a new one, if none is at it."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._push, args=(self._waiting,), name="push_revisions", daemon=True)
            self._thread.start()
        return self._thread

    def _push(self, waiting: list[Path]) -> None:
        """Newest first, which is there the longest, until one fails: that the Hub is not there is said once."""
        while there := [folder for folder in waiting if folder.is_dir()]:
            try:
                push_revision(there[-1], self.name, token=self._token)
            except Exception as error:  # whatever the network or a file does
                logger.warning(
                    f"push_revisions: {there[-1].name} is not pushed, and tried again later: {one_line(error)}"
                )
                return
            waiting.remove(there[-1])


def push_checkpoints(trainer: ResumableTrainer) -> None:
    """Has the checkpoints of `trainer` pushed to the repository of its arguments, which is made if there is none.

    Raises:
        UserError: they hold no whole model, or the Hub refuses or cannot be reached.
    """
    if _in_shards(trainer):
        raise UserError(
            "push_revisions=True: checkpoints of FSDP, and of ZeRO-3 without zero3_save_16bit_model, are in shards, "
            "which nothing opens by name: leave it out, and push the pair at the end by push_to_hub"
        )
    if trainer.is_world_process_zero():
        if not trainer.args.push_to_hub:
            trainer.init_hf_repo()
        name, token = str(trainer.hub_model_id), trainer.args.hub_token
        trainer.add_callback(RevisionsCallback(name, token, in_a_hurry=lambda: trainer.stopped_by_signal))


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def _in_shards(trainer: ResumableTrainer) -> bool:
    state = trainer.accelerator.state
    if trainer.is_fsdp_enabled:
        return "FULL_STATE_DICT" not in str(state.fsdp_plugin.state_dict_type)
    if trainer.is_deepspeed_enabled:
        config = state.deepspeed_plugin.hf_ds_config
        whole = config.get_value("zero_optimization.stage3_gather_16bit_weights_on_model_save", False)
        return bool(config.is_zero3() and not whole)
    return False
