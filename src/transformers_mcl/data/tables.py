"""Labelled examples, a row each, from files, a folder or the Hub."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, load_dataset
from datasets.utils import logging as datasets_logging

from ..errors import UserError
from ..io import nearest_path, one_line
from .cached import READER, write_once
from .conll import is_conll, read_conll
from .documents import stamp
from .files import find_files
from .forms import TABLES, form_of
from .opening import READ_ERRORS, explained
from .parts import open_parts, read_table_rows
from .rows import Row, read_arrow_table
from .sources import SPLIT_NAMES, is_saved, open_saved
from .table_arguments import TableArguments

__all__ = ["load_splits", "read_table", "split_files"]

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def read_table(
    paths: Sequence[str], field: str, cache_dir: str | None = None, how: TableArguments | None = None
) -> Dataset:
    """The rows of CSV, TSV, JSON, parquet, Arrow or CoNLL's files, also compressed, that `paths` (files, globs,
    folders) name.

    A column of CSV whose values are all whole numbers, numbers, or true and false becomes one of these. In JSON the
    columns are those of all rows, null where a row lacks one; where values are of several types they become text.

    Args:
        field: what the user calls the files.
        cache_dir: where what was read is kept.
        how: what they hold, if the endings of their names do not say it, and what becomes of text that is none.

    Raises:
        UserError: files that are missing, empty, unreadable, of several kinds, or plain text.
    """
    files, how = find_files(list(paths), field), how or TableArguments()
    kinds = {"conll" if is_conll(path, how.file_format) else form_of(path, how.file_format).kind for path in files}
    if len(kinds) > 1 or "text" in kinds:
        raise UserError(f"{field}: {files[-1]!r} and all others must be {TABLES}, of one kind")
    try:
        table = _arrow_table(files, how) if kinds <= {"parquet", "arrow"} else _table_of_rows(files, how)
    except UserError as error:
        raise UserError(f"{field}: {error}") from error
    if not len(table):
        raise UserError(f"{field}: {files[0]!r} has no rows")
    features = Features.from_arrow_schema(table.schema)
    follows_from = [
        READER,
        how.file_format,
        how.text_errors,
        [(os.path.abspath(path), *stamp(path)) for path in files],
        features,
    ]
    return write_once(lambda: iter([table]), {}, features, follows_from, cache_dir=cache_dir)


def _arrow_table(files: Sequence[str], how: TableArguments) -> pa.Table:
    """With the types that the files have."""
    tables = []
    for path in files:
        form = form_of(path, how.file_format)
        with explained(path, form):
            tables += [read_arrow_table(part.file, part.form.kind) for part in open_parts(path, form)]
    return pa.concat_tables(tables, promote_options="permissive")


def _table_of_rows(files: Sequence[str], how: TableArguments) -> pa.Table:
    """Of all columns that any row has."""
    found = [
        placed
        for path in files
        for placed in (read_conll if is_conll(path, how.file_format) else read_table_rows)(path, how)
    ]
    sources = {(place.path, place.member) for place, _ in found}
    typed = (
        _numbers
        if {form_of(member or path, how.file_format).kind for path, member in sources} <= {"csv", "tsv"}
        else _one_type
    )
    rows = [row for _, values in found for row in _squad(values)]
    columns = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: typed([row.get(name) for row in rows]) for name in columns})


def _squad(row: Row) -> list[Row]:
    """The questions of a file of SQuAD as its authors publish it, one object, a row each; else the row itself."""
    if not isinstance(row.get("data"), list):
        return [row]
    try:
        return [
            {
                "id": question["id"],
                "question": question["question"],
                "context": paragraph["context"],
                "answers": {key: [answer[key] for answer in question["answers"]] for key in ("text", "answer_start")},
            }
            for article in row["data"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (KeyError, TypeError):
        return [row]


def _numbers(values: list[Any]) -> pa.Array:
    """A column of CSV, which has no types."""
    if None in values:  # of files with other columns
        return pa.array(values, pa.string())
    if all(_INTEGER.fullmatch(value) for value in values):
        return pa.array(map(int, values), pa.int64())
    if all(_NUMBER.fullmatch(value) for value in values):
        return pa.array(map(float, values), pa.float64())
    if all(value in _TRUTH for value in values):
        return pa.array([_TRUTH[value] for value in values])
    return pa.array(values, pa.string())


def _one_type(values: list[Any]) -> pa.Array:
    """A column of JSON."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())


def split_files(folder: str, names: Sequence[str] = ()) -> dict[str, list[str]]:
    """The files of a folder by the first word of their names: `train.jsonl.gz`, `dev-v2.0.json`,
    `train-00000-of-00002.csv`; but the word after one of `names`, if any begin with it: `mnli.train.jsonl`."""
    by_words: dict[str, dict[str, list[str]]] = {}
    usual = {name for split in SPLIT_NAMES.values() for name in split}
    for path in sorted(Path(folder).iterdir()):
        if path.is_file() and not path.name.startswith((".", "_")):
            first, second, *_ = re.split("[.-]", f"{path.name}.")
            of, split = (first, second) if first in names and second.split("_")[0] in usual else ("", first)
            by_words.setdefault(of, {}).setdefault(split, []).append(str(path))
    return next((by_words[name] for name in (*names, "") if name in by_words), {})


def load_splits(name: str, config: str | None, **hub: Any) -> Mapping[str, Dataset]:
    """The splits of a data set of the Hub, or of a folder: what `save_to_disk` wrote, or a copy of a repository.

    Raises:
        UserError: there is none, or it cannot be read; the message says how to give files instead.
    """
    try:
        with _silent_datasets():
            if is_saved(name):
                return open_saved(name)
            return load_dataset(name, config, **hub)
    except READ_ERRORS as error:
        what = f"{name!r}{f' ({config})' if config else ''}"
        raise UserError(
            f"the data set {what} cannot be had here: {one_line(error)}{nearest_path(name)}; give its rows as "
            "--train_file and --validation_file, or as --dataset_name FOLDER with "
            f"{os.path.join(config or '', 'train')}.jsonl and so on"
        ) from error


@contextmanager
def _silent_datasets() -> Iterator[None]:
    """Without the errors that `datasets` logs before it raises them."""
    verbosity = datasets_logging.get_verbosity()
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    try:
        yield
    finally:
        datasets_logging.set_verbosity(verbosity)
