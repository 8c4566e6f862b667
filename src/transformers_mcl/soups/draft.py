"""A folder that is there when all of it is written, and not before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn
from uuid import uuid4

from safetensors import SafetensorError

from ..errors import Interrupted, UserError
from ..hub.export import check_output_dir
from ..training.checkpoints import is_full
from ..training.signals import at_sigterm

__all__ = ["appearing", "check_apart", "check_room"]


def check_apart(output_dir: str | os.PathLike[str], checkpoints: Sequence[str]) -> Path:
    """`output_dir` as a path.

    Raises:
        UserError: it is, or is inside, a checkpoint's folder, or holds something.
    """
    folder = Path(output_dir).expanduser().resolve()
    for name in checkpoints:
        ingredient = Path(name).expanduser()
        if ingredient.is_dir() and folder.is_relative_to(ingredient.resolve()):
            where = "is" if folder == ingredient.resolve() else "lies inside"
            raise UserError(f"output_dir {str(output_dir)!r} {where} the ingredient {name!r}: give another folder")
    check_output_dir(output_dir)
    return folder


def check_room(folder: Path, size: int) -> None:
    """Refuses a `folder` whose disk has no room for `size` bytes."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    if (free := shutil.disk_usage(there).free) < size:
        needed = f"the soup takes {size / 1e9:.2f} GB, and its disk has {free / 1e9:.2f} GB left"
        raise UserError(f"output_dir {str(folder)!r}: {needed}")


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, which becomes it at the end, and is gone if something fails before.

    Raises:
        UserError: it cannot be made, or the disk is full.
        Interrupted: SIGTERM came.
    """
    draft = folder.with_name(f".{folder.name}-{uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"output_dir {str(folder)!r} cannot be made: {error.strerror}") from error
    try:
        with at_sigterm(_terminate):
            yield draft
            if folder.is_dir():
                folder.rmdir()  # it is empty
            draft.rename(folder)
    except _Terminated:
        raise Interrupted(f"SIGTERM: nothing was written into {folder}") from None
    except (OSError, RuntimeError, SafetensorError) as error:
        if not is_full(error):
            raise
        raise UserError(
            f"the disk is full: nothing was written into {str(folder)!r}; make room and try again"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Terminated(BaseException):
    """As KeyboardInterrupt: no `except Exception` on the way may hold it up."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated
