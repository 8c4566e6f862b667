"""Files as streams of bytes: decompressed, here or far away, and the members of archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
from datasets.exceptions import DatasetsError

from ..errors import UserError
from ..io import one_line
from .forms import Form
from .remote import is_remote, open_remote

__all__ = [
    "READ_ERRORS",
    "decompressed",
    "explained",
    "in_temporary_file",
    "members",
    "open_bytes",
    "open_seekable",
]

# What datasets, pyarrow and the decompressors raise at a file that they cannot read.
READ_ERRORS = (
    DatasetsError,
    pa.ArrowException,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a compression inside zip that Python lacks
)
_BUFFER = 1 << 17
_IN_MEMORY = 16 << 20


def _open_zst(file: IO[bytes]) -> io.BufferedReader:
    # pyarrow's own: it reads all frames of a file, and says where one is cut.
    return io.BufferedReader(pa.CompressedInputStream(file, "zstd"), _BUFFER)


_DECOMPRESSORS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zst": _open_zst,
}


@contextmanager
def open_bytes(path: str, compression: str = "", ranges: bool = False) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed; it can be read from the middle if it is not compressed. `ranges`: it will
    be, here and there."""
    with (
        open_remote(path, ranges) if is_remote(path) else open(path, "rb", _BUFFER) as file,
        decompressed(file, compression) as it,
    ):
        yield it


@contextmanager
def decompressed(file: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    """The content of an open file."""
    if not compression:
        yield file
        return
    with _DECOMPRESSORS[compression](file) as content:
        yield content


@contextmanager
def open_seekable(path: str, form: Form) -> Iterator[IO[bytes]]:
    """The same, so that any part can be read; a local Arrow file is mapped into memory."""
    if form.kind == "arrow" and not form.compression and not is_remote(path):
        with pa.memory_map(path) as file:
            yield file
        return
    columns = form.kind in ("parquet", "arrow")
    with open_bytes(path, form.compression, ranges=columns and not form.compression) as file:
        if form.compression and columns:
            with in_temporary_file(file) as copy:
                yield copy
        else:
            yield file


@contextmanager
def in_temporary_file(content: IO[bytes]) -> Iterator[IO[bytes]]:
    """The same in a file that can be read from the middle; a large one is on disk."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        shutil.copyfileobj(content, copy, _BUFFER)
        copy.seek(0)
        yield copy


def members(path: str, form: Form) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the files in an archive, in its order, but for those in or under a name that starts with
    `.` or `_`. A content can be read until the next is asked for."""
    with open_bytes(path, form.compression) as file:
        for name, content in (_zip_members if form.kind == "zip" else _tar_members)(file, path):
            if not any(part[:1] in (".", "_") for part in name.removeprefix("./").split("/")):
                yield name, content


def _zip_members(file: IO[bytes], path: str) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise UserError(f"{path!r}: its member {member.filename!r} is encrypted")
            with archive.open(member) as content:
                yield member.filename, content


def _tar_members(file: IO[bytes], path: str) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content


@contextmanager
def explained(path: str, form: Form) -> Iterator[None]:
    """With an error of one line that names the file, where it cannot be opened, decompressed or read further."""
    try:
        yield
    except UserError:
        raise
    except READ_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None and error.strerror:
            what = f"cannot be read: {error.strerror}"
        elif form.compression or form.is_archive:
            what = f"damaged compressed file: {one_line(error)}"
        elif form.kind in ("parquet", "arrow"):
            what = f"not {form.kind}, or damaged: {one_line(error)}"
        else:
            what = f"cannot be read as {form.kind}: {one_line(error)}"
        raise UserError(f"{path!r}: {what}") from error
