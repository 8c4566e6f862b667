"""One run at a time in a folder: a second would remove the first one's checkpoints, and mix their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from transformers.utils import logging

from .errors import UserError

__all__ = ["LOCK", "claimed"]

LOCK = ".transformers-mcl.lock"
"""Name of the file that is locked. It is the operating system that knows who holds it: what a process that was killed
has left behind locks nothing."""

logger = logging.get_logger(__name__)


@contextmanager
def claimed(folder: str | os.PathLike[str], beside: bool = False, process_index: int = 0) -> Iterator[None]:
    """Keeps other processes from writing into `folder`, by the same means, until its end. Within it, the same process
    may claim the folder again.

    Args:
        folder: need not exist; one that stays empty is removed at the end.
        beside: lock a file beside the folder, which is to appear as a whole, and not in it.
        process_index: of the processes that make one run, the first claims the folder for all.

    Raises:
        UserError: another process has it.
    """
    if process_index:
        yield
        return
    folder = Path(folder).expanduser().absolute()
    path = folder.with_name(f".{folder.name}{LOCK}") if beside else folder / LOCK
    new = [parent for parent in path.parents if not parent.exists()]
    lock = FileLock(path, is_singleton=True)
    within = lock.is_locked  # by this process already
    locked = _lock(lock, folder)
    try:
        yield
    finally:
        if locked and not within:
            with suppress(OSError):  # Windows removes no open file, and has it gone when it is closed
                path.unlink(missing_ok=True)
        if locked:
            lock.release()
        for parent in [] if within else new:
            with suppress(OSError):  # what was written is there
                parent.rmdir()


def _lock(lock: FileLock, folder: Path) -> bool:
    """Whether there is a lock now: some network folders have none, and a run there must do without."""
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UserError(
            f"output_dir {folder} is being written by another run, which has locked {lock.lock_file}: give another "
            "folder, or wait for its end"
        ) from error
    except (OSError, NotImplementedError) as error:
        if folder.is_dir() and os.access(folder, os.W_OK):
            logger.warning(f"{folder} cannot be locked ({error}): see to it that no second run writes into it")
        return False
    return True
