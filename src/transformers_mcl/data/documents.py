"""The one reader of text: shards of files, of whatever form, as documents."""

from __future__ import annotations

import difflib
import functools
import os
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any, NamedTuple

from ..errors import UserError
from .arguments import DataArguments
from .forms import HEAD_BYTES, Form, check_head, form_of
from .opening import explained, open_bytes, open_seekable
from .parts import REPLACED, Part, Place, open_parts, replace_undecodable, say_once
from .remote import is_remote
from .rows import BadRow, MissingColumn, Row, Where, count_row_groups, count_rows, is_one_value, lines, read_rows

__all__ = [
    "Mark",
    "Place",
    "Reading",
    "Shard",
    "describe",
    "divide",
    "missing_column",
    "no_text",
    "read_documents",
    "read_marked",
    "stamp",
]

NO_COLUMN = "rows without the text column are passed over"
NO_TEXT = "rows without text are passed over"
SKIPPED = "documents with bytes that are not UTF-8, or half surrogates, are passed over"

_BYTES_A_SHARD = 1 << 20
_ROWS_A_SHARD = 1000
_MOST_SHARDS = 100_000  # a list of them is kept, and shuffled every epoch
_SCANNED_BYTES = 4 << 20
_MISSING = object()


@dataclass(frozen=True)
class Reading:
    """How files are read; the fields are arguments of the command line.

    Attributes:
        text_column: of tables, or a path to it, as `meta.text`.
        separator: what ends a document in plain text: `auto`, `line`, `blank_line`, `file`.
        text_errors: what becomes of text that is not UTF-8: `replace`, `skip`, `strict`.
        file_format: of all files, or `auto`: by the endings of their names.
    """

    text_column: str = "text"
    separator: str = "auto"
    text_errors: str = "replace"
    file_format: str = "auto"

    @classmethod
    def of(cls, args: DataArguments) -> Reading:
        return cls(args.text_column, args.document_separator, args.text_errors, args.file_format)


class Shard(NamedTuple):
    """A part of a file, or all of it.

    Attributes:
        start, stop: the part, in bytes of plain text and JSON lines, row groups of parquet, rows of Arrow; the whole
            file if `stop` is None.
        skip: so many of its first documents belong to another split.
        source: the number of the one that it is of, where several are mixed.
    """

    path: str
    form: Form
    start: int = 0
    stop: int | None = None
    skip: int = 0
    source: int = 0


class Mark(NamedTuple):
    """What stands in the place of a document where something is wrong with it.

    Attributes:
        text: as it is read after all; None where it is passed over.
        problem: one of this module's sentences.
        place: where it is.
    """

    text: str | None
    problem: str
    place: Place


def divide(paths: Sequence[str], how: Reading) -> list[Shard]:
    """Files as shards, in order. Of local files the beginning is looked at, of the first of each form also its first
    document.

    Raises:
        UserError: a file cannot be opened or is not what it is read as; no row of the first JSON file has the column;
            none holds text.
    """
    length = max(_BYTES_A_SHARD, sum(os.path.getsize(path) for path in paths if not is_remote(path)) // _MOST_SHARDS)
    shards: list[Shard] = []
    seen: set[Form] = set()
    for path in paths:
        form = form_of(path, how.file_format)
        with explained(path, form):
            divided = _divide(path, form, length, how)
        # One of each form: looking into thousands would take minutes, and they are checked when they are read.
        if divided and form not in seen:
            seen.add(form)
            _look_into(divided, how)
        shards += divided
    documents = chain.from_iterable(read_marked(shard, how) for shard in shards)
    if not any(isinstance(document, str) or document.text for document in documents):
        raise UserError(no_text(paths))
    return shards


def no_text(paths: Sequence[str]) -> str:
    return f"no text in {', '.join(map(repr, paths[:3]))}{' …' if len(paths) > 3 else ''}"


def _divide(path: str, form: Form, length: int, how: Reading) -> list[Shard]:
    """`path` in parts of about `length` bytes, where it can be read from the middle."""
    whole = [Shard(path, form)]
    if is_remote(path) or form.is_archive:
        return whole
    if form.kind in ("parquet", "arrow"):
        return whole if form.compression else _divide_rows(path, form)
    with open_bytes(path, form.compression) as file:
        head = file.read(HEAD_BYTES)
    check_head(repr(path), head, form, how.text_column, how.file_format != "auto")
    whole_text = form.kind == "text" and how.separator == "file"
    if form.compression or form.kind in ("csv", "tsv") or whole_text or (form.kind == "json" and is_one_value(head)):
        return whole
    total = os.path.getsize(path)
    return [Shard(path, form, start, min(start + length, total)) for start in range(0, total, length)]


def _divide_rows(path: str, form: Form) -> list[Shard]:
    with open_seekable(path, form) as file:
        if form.kind == "parquet":
            return [Shard(path, form, group, group + 1) for group in range(count_row_groups(file))]
        total = count_rows(file)
    return [Shard(path, form, start, min(start + _ROWS_A_SHARD, total)) for start in range(0, total, _ROWS_A_SHARD)]


def _look_into(shards: list[Shard], how: Reading) -> None:
    """That the first document of a file can be read, and that not all rows of a JSON file lack the text column."""
    lacking = None
    for document in chain.from_iterable(read_marked(shard, how) for shard in shards):
        if isinstance(document, str) or document.problem != NO_COLUMN:
            return
        lacking = document
    if lacking is not None:
        with open_bytes(shards[0].path, shards[0].form.compression) as file:
            columns = next(read_rows(file, "json"))[1]
        raise UserError(missing_column(repr(shards[0].path), how.text_column, columns))


def missing_column(source: str, column: str, columns: Iterable[str]) -> str:
    close = difflib.get_close_matches(column, list(columns), n=1)
    return f"text_column: {source} has no column {column!r}, only {', '.join(columns)}" + (
        f"; did you mean {close[0]!r}?" if close else ""
    )


def read_documents(shard: Shard, how: Reading) -> Iterator[str]:
    """The documents of a shard without its first `skip`; all shards of a file together give each of its once.

    What is passed over or mended is said once a process, with the first place.

    Raises:
        UserError: the file cannot be read any further; names the file and what is wrong with it.
    """
    return islice(_heard(read_marked(shard, how)), shard.skip, None)


def _heard(documents: Iterable[str | Mark]) -> Iterator[str]:
    for document in documents:
        if isinstance(document, str):
            yield document
            continue
        say_once(document.problem, document.place)
        if document.text is not None:
            yield document.text


def read_marked(shard: Shard, how: Reading) -> Iterator[str | Mark]:
    """The documents of a shard, `skip` apart, and a mark for each with which something is wrong.

    Raises:
        UserError: as `read_documents`.
    """
    options = {"column": how.text_column, "file_format": how.file_format}
    with explained(shard.path, shard.form):
        for part in open_parts(shard.path, shard.form, shard.start, shard.stop, **options):
            yield from _documents(part, how)


def _documents(part: Part, how: Reading) -> Iterator[str | Mark]:
    try:
        if part.form.kind == "text":
            yield from _plain_documents(part, how)
        else:
            yield from _row_documents(part, how)
    except MissingColumn as error:
        raise UserError(missing_column(part.name, how.text_column, error.columns)) from error
    except BadRow as error:
        raise UserError(f"{part.place(*error.where)}: {error}") from error


def _row_documents(part: Part, how: Reading) -> Iterator[str | Mark]:
    column = how.text_column
    doubts: list[int] = []
    for where, row in read_rows(part.file, part.form.kind, column, part.start, part.stop, doubts):
        value = row[column] if column in row else _nested_value(row, column)
        if isinstance(value, list) and all(text is None or isinstance(text, str) for text in value):
            value = " ".join(text for text in value if text)
        if isinstance(value, str) and value.strip():
            yield _checked(value, where, part, how) if doubts else value
        elif value is None or isinstance(value, str):
            yield Mark(None, NO_TEXT, part.place(*where))
        elif value is _MISSING:
            yield Mark(None, NO_COLUMN, part.place(*where))
        else:
            raise BadRow(where, f"column {column!r} holds {reprlib.repr(value)}, not text")


def _nested_value(row: Row, column: str) -> Any:
    """What a row holds in a field inside a column."""
    value: Any = row
    for name in column.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _plain_documents(part: Part, how: Reading) -> Iterator[str | Mark]:
    separator = _separator(part, how)
    doubts: list[int] = []
    for number, text in _TEXTS[separator](part, doubts):
        document = _checked(text, ("line", number), part, how, spans_lines=True) if doubts else text
        yield _joined(document) if separator == "blank_line" else document


def _joined(document: str | Mark) -> str | Mark:
    """The lines of a paragraph as one."""
    if isinstance(document, str):
        return document.replace("\n", " ")
    return document._replace(text=document.text and document.text.replace("\n", " "))


def _separator(part: Part, how: Reading) -> str:
    if how.separator != "auto":
        return how.separator
    if part.member is None:
        return file_separator(part.path, part.form.compression, stamp(part.path))
    found = _has_blank_line(part.file)
    part.file.seek(0)
    return "blank_line" if found else "line"


@functools.lru_cache(maxsize=10_000)
def file_separator(path: str, compression: str, stamp: tuple[int, int]) -> str:
    """What `auto` stands for in a file."""
    with open_bytes(path, compression) as file:
        return "blank_line" if _has_blank_line(file) else "line"


def stamp(path: str) -> tuple[int, int]:
    """What changes when a local file is edited: its size and time."""
    if is_remote(path):
        return 0, 0
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _has_blank_line(file: IO[bytes]) -> bool:
    """Whether a blank line stands between two lines of text, at the beginning of a file."""
    text_seen = blank_seen = False
    for offset, line in lines(file):
        if line.strip():
            if blank_seen:
                return True
            text_seen = True
        else:
            blank_seen = text_seen
        if offset > _SCANNED_BYTES:
            break
    return False


def _lines(part: Part, doubts: list[int]) -> Iterator[tuple[int, str]]:
    for number, (_, line) in enumerate(lines(part.file, part.start, part.stop, doubts), 1):
        if line.strip():
            yield number, line


def _paragraphs(part: Part, doubts: list[int]) -> Iterator[tuple[int, str]]:
    """Documents before which the last blank line begins inside the part; in its first part, also a file's first."""
    document: list[str] = []
    ours = part.start == 0
    number = 0
    for number, (offset, line) in enumerate(lines(part.file, part.start, None, doubts), 1):
        after = part.stop is not None and offset >= part.stop
        if after and not ours:
            return
        if line.strip():
            if ours:
                document.append(line.strip())
            continue
        if document:
            yield number - len(document), "\n".join(document)
            document = []
        if after:
            return
        ours = True
    if document:
        yield number - len(document) + 1, "\n".join(document)


def _whole(part: Part, doubts: list[int]) -> Iterator[tuple[int, str]]:
    text = "\n".join(line for _, line in lines(part.file, doubts=doubts)).rstrip("\n")
    if text.strip():
        yield 1, text


_TEXTS = {"line": _lines, "blank_line": _paragraphs, "file": _whole}


def _checked(text: str, where: Where, part: Part, how: Reading, spans_lines: bool = False) -> str | Mark:
    """`spans_lines`: those of `text` are those of the file."""
    mended = replace_undecodable(text)
    if mended is text:
        return text
    bad = next(place for place, pair in enumerate(zip(text, mended, strict=False)) if pair[0] != pair[1])
    unit, number = where[0], where[1] + (text.count("\n", 0, bad) if spans_lines else 0)
    if how.text_errors == "replace":
        return Mark(mended, REPLACED, part.place(unit, number))
    if how.text_errors == "skip":
        return Mark(None, SKIPPED, part.place(unit, number))
    code = ord(text[bad])
    what = (
        f"byte 0x{code - 0xDC00:02x} is not UTF-8" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:x} is half a surrogate"
    )
    raise BadRow((unit, number), f"{what}; convert the file first, or give --text_errors replace or skip")


def describe(path: str, how: Reading) -> str:
    """What is a document in a local file."""
    form = form_of(path, how.file_format)
    if form.is_archive:
        return f"members of a {form.kind} archive"
    if form.kind != "text":
        return f"{form.kind}, one document a row"
    separator = how.separator
    if separator == "auto":
        separator = file_separator(path, form.compression, stamp(path))
    return {
        "line": "one document a line",
        "blank_line": "documents between blank lines",
        "file": "one document a file",
    }[separator]
