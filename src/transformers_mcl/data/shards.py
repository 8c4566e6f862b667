"""Files as shards: pieces that are found without reading them, and whose documents can be read on their own."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, NamedTuple

import fsspec
import pyarrow.parquet as pq
from datasets import Dataset, Features, load_dataset

from ..errors import UserError
from .arguments import DataArguments
from .corpus import (
    Format,
    as_pattern,
    check_first_row,
    check_text_column,
    file_format,
    silent_datasets,
    split_documents,
    table_options,
)
from .files import COMPRESSED, READ_ERRORS, explain
from .sources import find_sources, remote_files

_BYTES_A_SHARD = 1 << 20
_ROWS_A_SHARD = 1000
_MOST_SHARDS = 100_000  # a list of them is kept, and shuffled every epoch
_SCANNED_BYTES = 1 << 20


class Shard(NamedTuple):
    """A part of a file, or all of it.

    Attributes:
        start, stop: the part, in bytes of plain text and JSON lines, row groups of parquet, rows of Arrow; the whole
            file if `stop` is None.
        skip: so many of its first documents belong to another split.
        source: the number of the one that it is of, where several are mixed.
    """

    path: str
    form: Format
    start: int = 0
    stop: int | None = None
    skip: int = 0
    source: int = 0


def find_shards(args: DataArguments, token: str | None = None) -> list[dict[str, list[Shard]]]:
    """The shards of each source that `args` names, by split, in order; see `load_corpus` for what is read, as what.

    Args:
        token: for private repositories of the Hub.

    Raises:
        UserError: a file or dataset is missing, or the first file of a kind has no text column.
    """
    return [
        {split: _shards(paths, args) for split, paths in (source.files or remote_files(source, token)).items()}
        for source in find_sources(args)
    ]


def _shards(paths: list[str], args: DataArguments) -> list[Shard]:
    forms = {path: file_format(path, args.document_separator, _SCANNED_BYTES) for path in paths}
    size = sum(os.path.getsize(path) for path in paths if "://" not in path)
    length = max(_BYTES_A_SHARD, size // _MOST_SHARDS)
    shards: list[Shard] = []
    looked_into = set()
    for path, form in forms.items():
        try:
            divided = _divide(path, form, length)
        except READ_ERRORS as error:
            raise UserError(explain(path, form.builder, error)) from error
        # One of each kind: looking into thousands would take minutes, and they are checked when they are read.
        if divided and form.separator == "row" and form not in looked_into:
            looked_into.add(form)
            next(read_documents(divided[0], args.text_column), None)
        shards += divided
    if not shards:
        raise UserError(f"no text in {', '.join(map(repr, paths[:3]))}{' …' if len(paths) > 3 else ''}")
    return shards


def _divide(path: str, form: Format, length: int) -> list[Shard]:
    """`path` in parts of about `length` bytes, where it can be read from the middle."""
    if "://" in path or path.lower().endswith(COMPRESSED) or form.builder == "csv":
        return [Shard(path, form)]
    if form.builder == "parquet":
        return [Shard(path, form, group, group + 1) for group in range(pq.ParquetFile(path).num_row_groups)]
    if form.builder == "arrow":
        total, length = len(Dataset.from_file(path)), _ROWS_A_SHARD
    elif form.builder == "json" and _is_array(path):
        return [Shard(path, form)]
    else:
        total = os.path.getsize(path)
    return [Shard(path, form, start, min(start + length, total)) for start in range(0, total, length)]


def _is_array(path: str) -> bool:
    with fsspec.open(path, "rb", compression="infer") as file:
        return bool(file.read(1024).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["))


def read_documents(shard: Shard, column: str) -> Iterator[str]:
    """The documents of a shard without its first `skip`; all shards of a file together give each of its once.

    Raises:
        UserError: the file cannot be read any further; names the file and what is wrong with it.
    """
    documents = _DOCUMENTS.get(shard.form.builder, _table_documents)(shard, column)
    try:
        # A text may be nothing but spaces.
        yield from islice((text for text in documents if text.strip()), shard.skip, None)
    except UserError:
        raise
    except READ_ERRORS as error:
        raise UserError(explain(shard.path, shard.form.builder, error)) from error


def _text_documents(shard: Shard, _: str) -> Iterator[str]:
    if shard.form.separator == "blank_line":
        yield from _paragraphs(shard)
    else:
        for _offset, line in _lines(shard):
            yield line


def _paragraphs(shard: Shard) -> Iterator[str]:
    """Documents before which the last blank line begins inside the shard; in its first shard, also a file's first."""
    document: list[str] = []
    ours = shard.start == 0
    for offset, line in _lines(shard._replace(stop=None)):
        if line.strip():
            if ours:
                document.append(line.strip())
            continue
        if document:
            yield " ".join(document)
            document = []
        if shard.stop is not None and offset >= shard.stop:
            return
        ours = True
    if document:
        yield " ".join(document)


def _json_documents(shard: Shard, column: str) -> Iterator[str]:
    if shard.stop is None and _is_array(shard.path):
        yield from _table_documents(shard, column)
        return
    for number, (_offset, line) in enumerate(_lines(shard)):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict):
            raise UserError(f"{shard.path!r}: a line holds no JSON object: {line[:40]!r}")
        text = row.get(column)
        if number == 0 or not (text is None or isinstance(text, str)):
            check_text_column(row, column, shard.path)
        if text is not None:
            yield text


def _parquet_documents(shard: Shard, column: str) -> Iterator[str]:
    with fsspec.open(shard.path, "rb") as file:
        table = pq.ParquetFile(file)
        check_text_column(Features.from_arrow_schema(table.schema_arrow), column, shard.path)
        groups = list(range(shard.start, table.num_row_groups if shard.stop is None else shard.stop))
        for batch in table.iter_batches(_ROWS_A_SHARD, row_groups=groups, columns=[column]):
            yield from split_documents(batch.column(0).to_pylist(), wrapped=False)["text"]


def _arrow_documents(shard: Shard, column: str) -> Iterator[str]:
    if shard.stop is None:
        yield from _table_documents(shard, column)
        return
    table = Dataset.from_file(shard.path)  # memory-mapped
    check_text_column(table.features, column, shard.path)
    rows = table.select_columns([column])[shard.start : shard.stop]
    yield from split_documents(rows[column], wrapped=False)["text"]


def _table_documents(shard: Shard, column: str) -> Iterator[str]:
    """Of a whole file, by `datasets`; its `iter` is what does not divide the rows among loader workers by itself."""
    options: dict[str, Any] = {"split": "train", "streaming": True, **table_options(shard.form, column)}
    with silent_datasets():
        check_first_row(shard.path, shard.form, column)
        batches = load_dataset(shard.form.builder, data_files=as_pattern(shard.path), **options).iter(_ROWS_A_SHARD)
    while True:
        with silent_datasets():
            rows = next(batches, None)
        if rows is None:
            return
        yield from split_documents(rows[column], wrapped=False)["text"]


_DOCUMENTS = {
    "text": _text_documents,
    "json": _json_documents,
    "parquet": _parquet_documents,
    "arrow": _arrow_documents,
}


def _lines(shard: Shard) -> Iterator[tuple[int, str]]:
    """Lines that begin inside the shard, without their ends, and where they begin, in bytes."""
    with fsspec.open(shard.path, "rb", compression="infer") as file:
        for offset, line in _raw_lines(file, shard.start):
            if shard.stop is not None and offset >= shard.stop:
                return
            text = line.removeprefix(codecs.BOM_UTF8).decode() if offset == 0 else line.decode()
            if "\r" in text:
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            for part in text.removesuffix("\n").split("\n"):
                yield offset, part


def _raw_lines(file: IO[bytes], start: int) -> Iterator[tuple[int, bytes]]:
    offset = start
    if start:
        file.seek(start - 1)
        offset += len(file.readline()) - 1  # the line that began before; nothing but its end, if it ends here
    for line in file:
        yield offset, line
        offset += len(line)
