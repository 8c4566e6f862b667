"""A stream as a trainer's training data: its loader, and its place in the checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.utils import logging

from ..data.streaming import BEGIN_ANEW, StreamLoader, TextStream
from ..errors import UserError

if TYPE_CHECKING:
    from .trainer import MclTrainer

__all__ = [
    "check_max_steps",
    "load_stream_state",
    "resuming_stream",
    "save_stream_state",
    "stream_epoch",
    "stream_loader",
]

logger = logging.get_logger(__name__)


@contextmanager
def resuming_stream(trainer: MclTrainer) -> Iterator[None]:
    """A run that, if it is over a stream, goes on from its state, and reads nothing to get there.

    `ignore_data_skip` is what makes transformers read nothing. A user who gives it wants a stream to begin anew.
    """
    asked = trainer.args.ignore_data_skip
    trainer.begins_stream_anew = asked
    trainer.args.ignore_data_skip = asked or isinstance(trainer.train_dataset, TextStream)
    try:
        yield
    finally:
        trainer.args.ignore_data_skip = asked


def stream_loader(trainer: MclTrainer) -> StreamLoader | None:
    """The loader of this process's share of the trainer's stream; None if it trains on something else.

    It is not accelerate's, which would read the whole stream in each process, or in one for all, and is a batch ahead.

    Raises:
        UserError: `max_steps` is not given.
    """
    stream, args = trainer.train_dataset, trainer.args
    if not isinstance(stream, TextStream):
        return None
    check_max_steps(args.max_steps)
    return StreamLoader(
        stream,
        batches=args.max_steps * args.gradient_accumulation_steps,
        collate_fn=trainer.data_collator,
        process_index=args.process_index,
        num_processes=args.world_size,
        batch_size=trainer._train_batch_size,
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory,
        prefetch_factor=args.dataloader_prefetch_factor,
        multiprocessing_context=args.dataloader_multiprocessing_context,
    )


def check_max_steps(max_steps: int) -> None:
    """Raises UserError if a run over a stream would not know when to end."""
    if max_steps <= 0:
        raise UserError(f"max_steps is {max_steps}: a stream has no length, so say how many steps to train")


def save_stream_state(trainer: MclTrainer, folder: str) -> None:
    """Writes this process's place in the stream into a checkpoint; nothing if there is no stream."""
    loader = trainer.callback_handler.train_dataloader
    if isinstance(loader, StreamLoader):
        _state_file(trainer, folder).write_text(json.dumps(loader.state_dict()), encoding="utf-8")


def load_stream_state(trainer: MclTrainer, folder: str) -> None:
    """Makes the trainer's stream go on where it was when the checkpoint was saved; nothing if there is no stream.

    Raises:
        UserError: the checkpoint holds no place in a stream, or one of another stream, other processes or workers.
    """
    loader = trainer.callback_handler.train_dataloader
    if not isinstance(loader, StreamLoader):
        return
    if trainer.begins_stream_anew:
        logger.warning(f"ignore_data_skip: the stream begins anew, not where {folder} left it")
        return
    file = _state_file(trainer, folder)
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        loader.load_state_dict(state)
    except FileNotFoundError as error:
        raise UserError(
            f"resume_from_checkpoint: {folder} has no {file.name}, so it is of a run without streaming or with fewer "
            f"processes: resume it as it was started, or {BEGIN_ANEW}"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"resume_from_checkpoint: {file} is damaged: resume from an earlier checkpoint") from error


def stream_epoch(trainer: MclTrainer) -> float | None:
    """Epochs of the trainer's stream so far, as far as this process reads it; None without one."""
    loader = trainer.callback_handler.train_dataloader
    return loader.epoch if isinstance(loader, StreamLoader) else None


def _state_file(trainer: MclTrainer, folder: str) -> Path:
    return Path(folder) / f"stream_state_{trainer.args.process_index}.json"
