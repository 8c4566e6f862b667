"""What is read as one: a file, a part of it, or a member of an archive; and where in it something stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from transformers.utils import logging

from ..errors import UserError
from .forms import HEAD_BYTES, TABLES, Form, check_head, form_of
from .opening import decompressed, explained, in_temporary_file, members, open_bytes, open_seekable
from .rows import BadRow, Row, lines, read_rows
from .table_arguments import TableArguments

__all__ = [
    "REPLACED",
    "Part",
    "Place",
    "open_parts",
    "read_table_rows",
    "replace_undecodable",
    "say_once",
    "sound_rows",
]

logger = logging.get_logger(__name__)

_SKIPPED = "rows with bytes that are not UTF-8, or half surrogates, are passed over"
REPLACED = "bytes that are not UTF-8, and half surrogates, are replaced by U+FFFD"

_COLUMNAR = ("parquet", "arrow")
_UNDECODABLE = re.compile("[\udc80-\udcff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_said: set[str] = set()


class Place(NamedTuple):
    """A line or row: its number, from 1 after byte `start`, in a file or a member of an archive."""

    path: str
    member: str | None
    unit: str
    number: int
    start: int = 0

    def __str__(self) -> str:
        number = self.number
        if self.start:
            with open_bytes(self.path) as file:
                number += sum(1 for _ in lines(file, 0, self.start))
        return f"{_name(self.path, self.member)}, {self.unit} {number}"


class Part(NamedTuple):
    """What is open to be read; `start` and `stop` as of a shard."""

    file: IO[bytes]
    path: str
    member: str | None
    form: Form
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        return _name(self.path, self.member)

    def place(self, unit: str, number: int) -> Place:
        return Place(self.path, self.member, unit, number, self.start if unit == "line" else 0)


def _name(path: str, member: str | None) -> str:
    return repr(path) + (f", member {member!r}" if member else "")


def open_parts(
    path: str, form: Form, start: int = 0, stop: int | None = None, *, column: str = "", file_format: str = "auto"
) -> Iterator[Part]:
    """A file or a part of it; or one after another the members of an archive. Each can be read until the next comes.

    Args:
        column: that of the text, for a look at whether a text is a table.
        file_format: of the members of an archive; of the file, `form` says it.

    Raises:
        UserError: it cannot be what it is read as. Where it cannot be opened or breaks off, `explained` says so around
            the reading.
    """
    told = file_format != "auto"
    if not form.is_archive:
        if start == 0 and form.kind not in _COLUMNAR:
            with open_bytes(path, form.compression) as file:
                check_head(repr(path), file.read(HEAD_BYTES), form, column, told)
        with open_seekable(path, form) as file:
            yield Part(file, path, None, form, start, stop)
        return
    for name, content in members(path, form):
        inside = form_of(name, file_format)
        if inside.is_archive:
            raise UserError(f"{_name(path, name)} is an archive in an archive: take it out first")
        with decompressed(content, inside.compression) as plain, in_temporary_file(plain) as file:
            if inside.kind not in _COLUMNAR:
                check_head(_name(path, name), file.read(HEAD_BYTES), inside, column, told)
                file.seek(0)
            yield Part(file, path, name, inside)


def read_table_rows(path: str, how: TableArguments | None = None) -> Iterator[tuple[Place, Row]]:
    """All rows of a table, or of those in an archive, with all their columns.

    Raises:
        UserError: it is no table, or a row cannot be read; names the place.
    """
    how = how or TableArguments()
    form = form_of(path, how.file_format)
    with explained(path, form):
        for part in open_parts(path, form, file_format=how.file_format):
            if part.form.kind == "text":
                raise UserError(f"{part.name} is plain text by its ending: it must be {TABLES}")
            try:
                rows = ((part.place(*where), row) for where, row in read_rows(part.file, part.form.kind))
                yield from sound_rows(rows, how.text_errors)
            except BadRow as error:
                raise UserError(f"{part.place(*error.where)}: {error}") from error


def sound_rows(rows: Iterable[tuple[Place, Row]], text_errors: str) -> Iterator[tuple[Place, Row]]:
    """Rows whose texts, at any depth, are text: where something is not UTF-8 it is replaced, or with `skip` the row
    left out, which is said once.

    Raises:
        UserError: with `strict`, there is such a row; says where.
    """
    for place, row in rows:
        mended = {name: _sound(value) for name, value in row.items()}
        if mended == row:
            yield place, row
            continue
        if text_errors == "strict":
            raise UserError(
                f"{place}: bytes that are not UTF-8, or half a surrogate; convert the file first, or give "
                "--text_errors replace or skip"
            )
        say_once(REPLACED if text_errors == "replace" else _SKIPPED, place)
        if text_errors == "replace":
            yield place, mended


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return replace_undecodable(value)
    if isinstance(value, list):
        return [_sound(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _sound(inner) for name, inner in value.items()}
    return value


def replace_undecodable(text: str) -> str:
    """The text with U+FFFD for half surrogates and for the bytes that `surrogateescape` hid in them, as
    `bytes.decode("utf-8", "replace")` has it; the same object if it has none."""
    if text.isascii():
        return text
    try:
        text.encode("utf-32-le")  # of all encodings the fastest to say that there are none
        return text
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", _UNDECODABLE.sub(_replaced, text))


def _replaced(found: re.Match[str]) -> str:
    return found[0].encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def say_once(problem: str, place: Place | None) -> None:
    """Warns of a kind of problem where this process first meets it."""
    if problem not in _said:
        _said.add(problem)
        logger.warning(f"{problem}: the first at {place}")
