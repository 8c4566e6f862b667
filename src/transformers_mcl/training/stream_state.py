"""The place of a stream in the checkpoints, a file for each process."""

from __future__ import annotations

import json
from pathlib import Path

from ..data.streaming import BEGIN_ANEW, StreamLoader
from ..errors import UserError

__all__ = ["check_max_steps", "load_stream_state", "save_stream_state"]


def check_max_steps(max_steps: int) -> None:
    """Raises UserError if a run over a stream would not know when to end."""
    if max_steps <= 0:
        raise UserError(
            f"max_steps is {max_steps}: a stream has no length, so say how long to train: give max_steps, max_tokens "
            "or max_hours"
        )


def save_stream_state(loader: StreamLoader, folder: str | Path) -> None:
    """Writes this process's place in the stream into a checkpoint."""
    _state_file(loader, folder).write_text(json.dumps(loader.state_dict()), encoding="utf-8")


def load_stream_state(loader: StreamLoader, folder: str | Path) -> None:
    """Makes the stream go on where it was when the checkpoint was saved.

    Raises:
        UserError: the checkpoint holds no place in a stream, or one of another stream, other processes or workers.
    """
    file = _state_file(loader, folder)
    first = file.with_name("stream_state_0.json")
    if first.is_file() and not file.is_file():
        file = first  # of fewer processes: it says so
    try:
        loader.load_state_dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(
            f"resume_from_checkpoint: {folder} has no {file.name}, so it is of a run without streaming: resume it as "
            f"it was started, or {BEGIN_ANEW}"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"resume_from_checkpoint: {file} is damaged: resume from an earlier checkpoint") from error


def _state_file(loader: StreamLoader, folder: str | Path) -> Path:
    return Path(folder) / f"stream_state_{loader.stream.process}.json"
