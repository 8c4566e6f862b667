"""The checkpoints of a run as revisions on the Hub, while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from ..errors import UserError
from ..hub.push import PushingTrainer
from ..hub.revisions import push_revision
from ..io import one_line

__all__ = ["RevisionsCallback", "push_checkpoints"]

logger = logging.get_logger(__name__)


class RevisionsCallback(TrainerCallback):
    """Pushes each checkpoint when it is saved ([`push_revision`]); that which a run goes on from as well, of which an
    earlier push may have been cut short.

    Training waits for it, so that no checkpoint is removed before. What fails is a warning, and is tried again at
    the next checkpoint and at the end, as long as its folder is there.

    Args:
        name: of the repository, which is there.
        token: of who may write into it.
    """

    def __init__(self, name: str, token: str | None = None):
        self.name, self._token = name, token
        self._waiting: list[Path] = []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._waiting = [folder] if (folder := _checkpoint(args, state)).is_dir() and state.global_step else []
        self._push()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._waiting.append(_checkpoint(args, state))
        self._push()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._push()
        if self._waiting:
            left = [folder.name + " (removed)" * (not folder.is_dir()) for folder in self._waiting]
            logger.warning(
                f"push_revisions: not on {self.name}: {', '.join(left)}; transformers_mcl.hub.revisions.push_revision "
                "pushes one that is still there"
            )

    def _push(self) -> None:
        """Newest first, until one fails: a Hub that is not there costs one try."""
        for folder in [folder for folder in reversed(self._waiting) if folder.is_dir()]:
            try:
                push_revision(folder, self.name, token=self._token)
            except Exception as error:  # whatever the network or a file does, training goes on
                logger.warning(
                    f"push_revisions: {folder.name} is not pushed, and tried again later: {one_line(error)}"
                )
                return
            self._waiting.remove(folder)


def push_checkpoints(trainer: PushingTrainer) -> None:
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
        trainer.add_callback(RevisionsCallback(str(trainer.hub_model_id), trainer.args.hub_token))


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def _in_shards(trainer: PushingTrainer) -> bool:
    state = trainer.accelerator.state
    if trainer.is_fsdp_enabled:
        return "FULL_STATE_DICT" not in str(state.fsdp_plugin.state_dict_type)
    if trainer.is_deepspeed_enabled:
        config = state.deepspeed_plugin.hf_ds_config
        whole = config.get_value("zero_optimization.stage3_gather_16bit_weights_on_model_save", False)
        return bool(config.is_zero3() and not whole)
    return False
