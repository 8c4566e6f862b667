"""Files elsewhere, on the Hub or another file system that fsspec knows: how large they are, and what is in them."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import fsspec

from ..io import one_line

__all__ = ["is_remote", "open_remote", "remote_sizes", "use_token"]

_BUFFER = 1 << 20
_sizes: dict[str, int] = {}


def is_remote(path: str) -> bool:
    return "://" in path


def use_token(token: str | None) -> None:
    """Opens files of the Hub with `token`, if there is one, from now on, in this process and those that it forks."""
    if token is not None:
        fsspec.config.conf.setdefault("hf", {})["token"] = token


def remote_sizes(paths: Iterable[str]) -> dict[str, int]:
    """Bytes of each as it is stored, where its file system says; each folder is listed once."""
    listed: set[str] = set()
    paths = list(paths)
    for path in paths:
        folder = path.rsplit("/", 1)[0]
        if path in _sizes or folder in listed:
            continue
        listed.add(folder)
        with suppress(Exception):  # each file system has errors of its own, and to know sizes is not needed
            filesystem, inside = fsspec.url_to_fs(folder)
            for entry in filesystem.ls(inside, detail=True):
                if entry.get("size"):
                    _sizes[f"{folder}/{entry['name'].rsplit('/', 1)[-1]}"] = entry["size"]
    return {path: _sizes[path] for path in paths if path in _sizes}


@contextmanager
def open_remote(path: str, ranges: bool = False) -> Iterator[IO[bytes]]:
    """What is in a file, read when it is asked for.

    A request that breaks off is made again by the file system of the Hub, some times, for the same bytes.

    Args:
        ranges: of parts here and there nothing more is read than they are, as suits parquet; else some megabytes at a
            time.

    Raises:
        OSError: the file cannot be opened or read any further.
    """
    with _Remote(path, ranges) as file:
        if ranges:
            yield file  # type: ignore[misc]
        else:
            yield io.BufferedReader(file, _BUFFER)


class _Remote(io.RawIOBase):
    """A file of fsspec's that raises nothing but OSError."""

    def __init__(self, path: str, ranges: bool) -> None:
        options: dict[str, Any] = {"cache_type": "none"} if ranges else {}
        if path in _sizes:
            options["size"] = _sizes[path]  # or else each process that opens a file would list its folder
        with _as_oserror():
            filesystem, inside = fsspec.url_to_fs(path)
            self._file: IO[bytes] = filesystem.open(inside, "rb", **options)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        with _as_oserror():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


@contextmanager
def _as_oserror() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of httpx, aiohttp, botocore and so on
        raise OSError(errno.EIO, one_line(error)) from error
