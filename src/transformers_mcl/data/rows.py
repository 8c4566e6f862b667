"""The rows of tables, with where each stands: by the standard library's `csv` and `json`, and pyarrow."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "BadRow",
    "MissingColumn",
    "Row",
    "Where",
    "count_row_groups",
    "count_rows",
    "is_one_value",
    "lines",
    "read_arrow_table",
    "read_rows",
]

Row = dict[str, Any]
Where = tuple[Literal["line", "row"], int]  # the line that a row begins in; or the number of a row that has no line
_ROWS_A_BATCH = 1000
_LARGEST_FIELD = 2**31 - 1  # what csv takes on every machine


class BadRow(ValueError):
    """What is wrong with a row or line, and where it is."""

    def __init__(self, where: Where, reason: str) -> None:
        super().__init__(reason)
        self.where = where


class MissingColumn(ValueError):
    """A table lacks the column that is asked for; it has `columns`."""

    def __init__(self, columns: Iterable[str]) -> None:
        super().__init__()
        self.columns = list(columns)


def lines(
    file: IO[bytes], start: int = 0, stop: int | None = None, doubts: list[int] | None = None
) -> Iterator[tuple[int, str]]:
    r"""Lines that begin in bytes `start` to `stop`, without their ends, each with the offset of its first byte.

    Only `\n`, `\r\n` and `\r` end a line; lines that `\r` alone ends count as beginning where the first of them does.
    A byte that is not UTF-8 becomes a low surrogate (`surrogateescape`).

    Args:
        doubts: takes the offsets of lines with such bytes.

    Raises:
        BadRow: a NUL byte, which no text holds.
    """
    offset, number = start, 0
    if start:
        file.seek(start - 1)
        offset += len(file.readline()) - 1  # the line that began before; nothing but its end, if it ends here
    for line in file:
        if stop is not None and offset >= stop:
            return
        if b"\0" in line:
            raise BadRow(("line", number + 1), "a NUL byte: the file is binary, or damaged")
        content = (line.removeprefix(codecs.BOM_UTF8) if offset == 0 else line).removesuffix(b"\n")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("utf-8", "surrogateescape")
            if doubts is not None:
                doubts.append(offset)
        for part in text.removesuffix("\r").split("\r") if b"\r" in line else (text,):
            number += 1
            yield offset, part
        offset += len(line)


def read_rows(
    file: IO[bytes],
    kind: str,
    column: str | None = None,
    start: int = 0,
    stop: int | None = None,
    doubts: list[int] | None = None,
) -> Iterator[tuple[Where, Row]]:
    """The rows of a table, each with where it stands; lines are counted from 1 where reading began.

    Args:
        file: can be read from the middle, if it is parquet or Arrow.
        kind: `json`, `csv`, `tsv`, `parquet` or `arrow`.
        column: the only one that is wanted, or a path to one, as `meta.text`.
        start, stop: the part to read, as of a shard: bytes of JSON lines, row groups of parquet, rows of Arrow.
        doubts: while it is empty, no text that was read has surrogates.

    Raises:
        BadRow: a row cannot be read.
        MissingColumn: a table lacks `column`; of JSON, whose rows may differ, no row is refused for it.
    """
    doubts = [] if doubts is None else doubts
    if kind == "json":
        yield from _json_rows(file, start, stop, doubts)
    elif kind == "parquet":
        yield from _parquet_rows(file, column, start, stop, doubts)
    elif kind == "arrow":
        yield from _arrow_rows(file, column, start, stop, doubts)
    else:
        yield from _separated_rows(_csv_fields(file, doubts) if kind == "csv" else _tsv_fields(file, doubts), column)


def _json_rows(file: IO[bytes], start: int, stop: int | None, doubts: list[int]) -> Iterator[tuple[Where, Row]]:
    found = 0
    for number, (offset, line) in enumerate(lines(file, start, stop, doubts), 1):
        if not line.strip():
            continue
        if not doubts and "\\u" in line:  # perhaps half a surrogate
            doubts.append(offset)
        try:
            if not found and stop is None and line.lstrip().startswith("["):
                raise json.JSONDecodeError("a list", line, len(line))
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if not found and stop is None and error.pos >= len(line.rstrip()):  # it goes on in the next line
                doubts.append(offset)
                yield from _rows_of_value("\n" * (number - 1) + line, file)
                return
            raise BadRow(("line", number), f"not JSON at character {error.colno}: {error.msg}") from error
        except RecursionError as error:
            raise BadRow(("line", number), "JSON that is nested too deep") from error
        except ValueError:  # a number of thousands of digits
            row = json.loads(line, parse_int=float)
        found += 1
        yield ("line", number), _object(row, ("line", number))


def is_one_value(head: bytes) -> bool:
    """Whether a file that begins so may be one JSON value, and not a value a line."""
    first, _, rest = head.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")
    try:
        return first.startswith(b"[") or (bool(rest) and not isinstance(json.loads(first), dict))
    except ValueError as error:
        return isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())


def _rows_of_value(begin: str, file: IO[bytes]) -> Iterator[tuple[Where, Row]]:
    """Of a file that is one JSON value."""
    try:
        value = json.loads(begin + "\n" + file.read().decode("utf-8", "surrogateescape"))
    except json.JSONDecodeError as error:
        raise BadRow(("line", error.lineno), f"not JSON at character {error.colno}: {error.msg}") from error
    for number, row in enumerate(value if isinstance(value, list) else [value], 1):
        yield ("row", number), _object(row, ("row", number))


def _object(row: Any, where: Where) -> Row:
    if not isinstance(row, dict):
        raise BadRow(where, f"no JSON object, but {json.dumps(row)[:40]}")
    return row


def _csv_fields(file: IO[bytes], doubts: list[int]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, each with the number of the line that it begins in."""
    csv.field_size_limit(_LARGEST_FIELD)
    doubts.append(0)
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True)
        begin = 1
        try:
            for fields in reader:
                if any("\0" in field for field in fields):
                    raise BadRow(("line", begin), "a NUL byte: the file is binary, or damaged")
                yield begin, fields
                begin = reader.line_num + 1
        except csv.Error as error:
            what = "a quoted field is never closed" if "unexpected end" in str(error) else f"not CSV: {error}"
            raise BadRow(("line", begin), what) from error


def _tsv_fields(file: IO[bytes], doubts: list[int]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file in which tabs, and nothing but tabs and ends of lines, separate fields."""
    for number, (_, line) in enumerate(lines(file, doubts=doubts), 1):
        yield number, line.split("\t")


def _separated_rows(rows: Iterator[tuple[int, list[str]]], column: str | None) -> Iterator[tuple[Where, Row]]:
    header: list[str] = []
    count = 0
    for number, fields in rows:
        if not any(fields if len(header) == 1 else "".join(fields).split()) and len(fields) < 2:  # a blank line
            continue
        count += 1
        if not header:
            header = fields
            _check_header(header, column, number)
        elif len(fields) != len(header):
            plural = "s" * (len(fields) != 1)
            raise BadRow(
                ("line", number), f"row {count} has {len(fields)} field{plural} where the header has {len(header)}"
            )
        else:
            yield ("line", number), dict(zip(header, fields, strict=True))


def _check_header(header: list[str], column: str | None, number: int) -> None:
    if column is not None and column not in header:
        raise MissingColumn(header)
    twice = next((name for name in header if header.count(name) > 1 and column in (None, name)), None)
    if twice is not None:
        raise BadRow(("line", number), f"the header names the column {twice!r} twice")


def _parquet_rows(
    file: IO[bytes], column: str | None, start: int, stop: int | None, doubts: list[int]
) -> Iterator[tuple[Where, Row]]:
    table = pq.ParquetFile(file)
    columns = _wanted(table.schema_arrow, column)
    groups = range(start, table.num_row_groups if stop is None else stop)
    first = sum(table.metadata.row_group(group).num_rows for group in range(start)) + 1
    batches = table.iter_batches(_ROWS_A_BATCH, row_groups=list(groups), columns=columns)
    for number, row in enumerate(chain.from_iterable(_to_rows(batch, doubts) for batch in batches), first):
        yield ("row", number), row


def _arrow_rows(
    file: IO[bytes], column: str | None, start: int, stop: int | None, doubts: list[int]
) -> Iterator[tuple[Where, Row]]:
    schema, batches = _arrow_batches(file)
    wanted = _wanted(schema, column)
    names = [name if name in schema.names else name.split(".")[0] for name in wanted or schema.names]
    first = 0
    for batch in batches:
        after = first + batch.num_rows
        end = after if stop is None else min(stop, after)
        for begin in range(max(start, first), end, _ROWS_A_BATCH):
            part = batch.select(names).slice(begin - first, min(_ROWS_A_BATCH, end - begin))
            for number, row in enumerate(_to_rows(part, doubts), begin + 1):
                yield ("row", number), row
        if end < after:
            return
        first = after


def count_rows(file: IO[bytes]) -> int:
    """Of an Arrow file."""
    return sum(batch.num_rows for batch in _arrow_batches(file)[1])


def count_row_groups(file: IO[bytes]) -> int:
    """Of a parquet file."""
    return int(pq.ParquetFile(file).num_row_groups)


def read_arrow_table(file: IO[bytes], kind: str) -> pa.Table:
    """All of a parquet or Arrow file, categories as the values they stand for."""
    if kind == "parquet":
        table = pq.read_table(file)
    else:
        schema, batches = _arrow_batches(file)
        table = pa.Table.from_batches(batches, schema)
    for number, field in enumerate(table.schema):
        if isinstance(field.type, pa.DictionaryType):
            table = table.set_column(number, field.name, table.column(number).cast(field.type.value_type))
    return table


def _arrow_batches(file: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Of a file as `datasets` writes it, a stream, or in Arrow's file format."""
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if not is_file:
        stream = pa.ipc.open_stream(file)
        return stream.schema, iter(stream)
    table = pa.ipc.open_file(file)
    return table.schema, map(table.get_batch, range(table.num_record_batches))


def _wanted(schema: pa.Schema, column: str | None) -> list[str] | None:
    """`column`, if it is there, or a path of names to a field inside a column."""
    if column is None or column in schema.names:
        return None if column is None else [column]
    fields: Any = schema
    for name in column.split("."):
        if not isinstance(fields, pa.Schema | pa.StructType) or name not in fields.names:
            raise MissingColumn(schema.names)
        fields = fields.field(name).type
    return [column]


def _to_rows(batch: pa.RecordBatch, doubts: list[int]) -> list[Row]:
    names = batch.schema.names
    try:
        columns = [column.to_pylist() for column in batch.columns]
    except UnicodeDecodeError:  # Arrow does not look at the bytes of a text
        doubts.append(0)
        columns = [_as_text(column.cast(_as_bytes(column.type)).to_pylist()) for column in batch.columns]
    if len(names) == 1:  # quicker
        return [{names[0]: value} for value in columns[0]]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_bytes(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_as_bytes(kind.value_type))
    return {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}.get(kind, kind)


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
