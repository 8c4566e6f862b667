"""Find the files that an argument names, and say what is wrong with one that cannot be read."""

from __future__ import annotations

import codecs
import glob
import json
import lzma
import os
import re
import zlib
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetsError
from transformers.utils import logging

from ..errors import UserError
from ..io import nearest_path, one_line

logger = logging.get_logger(__name__)

_CHUNK = 1 << 20
# What datasets, pyarrow, pandas and the decompressors raise at a file that they cannot read.
READ_ERRORS = (DatasetsError, pa.ArrowException, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
COMPRESSED = (".gz", ".bz2", ".xz")


_POINTER = b"version https://git-lfs.github.com/spec/"
_ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|contributing|changelog)([-_][^.]*)?(\.(md|txt|rst|cff|bib))?",
    re.IGNORECASE,
)


def find_files(patterns: list[str], field: str, skip_empty: bool = False) -> list[str]:
    """All files that `patterns` (files, globs, directories) name, in order and each once.

    In a directory, files at any depth count, but not those in or under a name that starts with `.` or `_`, nor what is
    said about them, as `README.md` and `LICENSE`. Empty files are left out with a warning if `skip_empty`, unless all
    are.

    Raises:
        UserError: no such file, or one that is empty or cannot be opened.
    """
    found = dict.fromkeys(path for pattern in patterns for path in _expand(os.path.expanduser(pattern), field))
    texts: list[str] = []
    last = next(reversed(found))
    for path in found:
        if not os.path.isfile(path):  # a pipe could be read only once
            raise UserError(f"{field}: {path!r} is not a regular file")
        try:
            with open(path, "rb") as file:
                head = file.read(len(_POINTER))
        except OSError as error:
            raise UserError(f"{field}: {path!r} cannot be read: {error.strerror}") from error
        if head == _POINTER:
            raise UserError(f"{field}: {path!r} only points to a file of Git LFS: run `git lfs pull` beside it")
        if head:
            texts.append(path)
        elif skip_empty and (texts or path != last):
            logger.warning(f"{field}: {path!r} is empty: it is skipped")
        else:
            raise UserError(f"{field}: {path!r} is empty")
    return texts


def _expand(pattern: str, field: str) -> list[str]:
    if os.path.isdir(pattern):
        inside = (path for path in Path(pattern).rglob("*") if path.is_file())
        paths = sorted(
            str(path)
            for path in inside
            if not any(part[0] in "._" for part in path.relative_to(pattern).parts) and not _ABOUT.fullmatch(path.name)
        )
        if not paths:
            raise UserError(f"{field}: the directory {pattern!r} holds no files of text")
        return paths
    if os.path.exists(pattern):
        return [pattern]
    matches = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not matches:
        raise UserError(f"{field}: no such file: {pattern!r}{nearest_path(pattern)}")
    return matches


def explain(path: str, builder: str, error: Exception) -> str:
    """Why `path` could not be read by `datasets`' `builder`, in one line.

    Looks at the file a second time, since the error itself names neither the file nor the place in it. Compressed
    files are looked at as decompressed.
    """
    if builder in ("text", "json", "csv"):
        reason = _bad_byte(path) or (_bad_json(path) if builder == "json" else None)
    else:
        reason = _bad_parquet(path) if builder == "parquet" else None
    return f"{path!r}: {reason or f'cannot be read as {builder}: {one_line(error)}'}"


def _bad_byte(path: str) -> str | None:
    """Damaged compression, or the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    with fsspec.open(path, "rb", compression="infer") as file:
        while True:
            try:
                chunk = file.read(_CHUNK)
            except Exception as error:  # each compression has errors of its own
                return f"damaged compressed file: {one_line(error)}"
            pending = len(decoder.getstate()[0])  # bytes of a character that the last chunk cut
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                place = offset - pending + error.start
                where = f"offset {place}" + (" of the decompressed text" if path.endswith(COMPRESSED) else "")
                return (
                    f"not UTF-8: byte 0x{error.object[error.start]:02x} at {where};"
                    " convert the file first, for example with iconv"
                )
            if not chunk:
                return None
            offset += len(chunk)


def _bad_json(path: str) -> str | None:
    """The first line that is not JSON; for a file that is one JSON value, the line where it breaks."""
    with fsspec.open(path, "rt", encoding="utf-8-sig", compression="infer") as file:
        for number, line in enumerate(file, 1):
            try:
                json.loads(line if line.strip() else "null")
            except json.JSONDecodeError as error:
                reason = f"line {number}, column {error.colno} is not JSON: {error.msg}"
                return _bad_json_value(path) if number == 1 else reason
    return None


def _bad_json_value(path: str) -> str | None:
    with fsspec.open(path, "rt", encoding="utf-8-sig", compression="infer") as file:
        try:
            json.load(file)
        except json.JSONDecodeError as error:
            return f"line {error.lineno}, column {error.colno} is not JSON: {error.msg}"
    return None


def _bad_parquet(path: str) -> str | None:
    try:
        pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        return f"not a parquet file, or a damaged one: {one_line(error)}"
    return None
