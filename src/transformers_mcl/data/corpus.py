"""Raw text, in whatever form it comes, as one document a row."""

from __future__ import annotations

import difflib
import os
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import fsspec
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets, load_dataset
from datasets.utils import logging as datasets_logging
from transformers.utils import logging

from ..errors import UserError
from .arguments import DataArguments
from .duplicates import warn_of_overlap
from .files import COMPRESSED, READ_ERRORS, explain
from .mixing import Text, deduplicate, hold_out, join
from .sources import Source, check_has, find_sources, find_validation_files, pick_splits, reading_from_hub

logger = logging.get_logger(__name__)

DOCUMENTS = Features({"text": Value("string")})
# Everything else is plain text.
_BUILDERS = {
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
}
_TEXT_TYPES = (Value("string"), Value("large_string"), Value("null"))
_SCANNED_BYTES = 64 << 20
_BLANK_LINES = re.compile(r"\n\s*\n")
_LINE_BREAK = re.compile(r"\s*\n\s*")


class Format(NamedTuple):
    """How the files of one kind are read."""

    builder: str  # the name of a builder of `datasets`
    extension: str
    separator: str  # what ends a document: "line", "blank_line", or "row" of a table

    def __str__(self) -> str:
        return {
            "line": "one document a line",
            "blank_line": "documents between blank lines",
            "row": f"{self.builder}, one document a row",
        }[self.separator]


def load_corpus(
    args: DataArguments, cache_dir: str | None = None, seed: int = 0, token: str | None = None
) -> DatasetDict:
    """The text that `args` names, as splits `train` and `validation` with one column, `text`, one document a row.

    Documents without text are dropped. In plain text a document is a line, or what stands between blank lines, its
    lines joined by spaces (`args.document_separator`). What was read, and how, is in `info.description` of a split.

    Held out is what `args` names as validation text, or else, of each source, its validation split or a random part.

    Args:
        args: names files and datasets, and the text column.
        cache_dir: where `datasets` keeps what it has read; its own default if None.
        seed: of the choice of held-out documents, when `args` names no validation text, and of the order of sources
            that are mixed. Keep it the same between runs that are to be compared.
        token: for private repositories of the Hub.

    Raises:
        UserError: a file or dataset is missing, empty or unreadable, is not UTF-8, or lacks the text column.
    """
    sources, files = find_sources(args), find_validation_files(args)
    held_out = [Text.of(read_files(files, args, cache_dir), args)] if files else []
    train, undivided = [], []
    for number, source in enumerate(sources):
        splits = _read_source(source, args, cache_dir, token)
        train.append(Text.of(splits["train"], args))
        if not files and "validation" in splits:
            held_out.append(Text.of(splits["validation"], args))
        elif not files:
            undivided.append(number)
    if args.deduplicate:
        train = deduplicate(train, held_out)
    for number in undivided:
        train[number], chosen = hold_out(train[number], args.validation_split_percentage, seed)
        held_out.append(chosen)
    warn_of_overlap((text.hashes for text in train), (text.hashes for text in held_out))
    corpus = DatasetDict(
        train=join([text.documents for text in train], args.mixing_weights, seed),
        validation=join([text.documents for text in held_out]),
    )
    for split, documents in corpus.items():
        logger.info(f"{split}: {len(documents)} documents; {documents.info.description}")
    return corpus


def _read_source(source: Source, args: DataArguments, cache_dir: str | None, token: str | None) -> dict[str, Dataset]:
    if source.files:
        return {split: read_files(paths, args, cache_dir) for split, paths in source.files.items()}
    with reading_from_hub(source.name):
        tables = load_dataset(source.name, source.config, cache_dir=cache_dir, token=token)
    check_has("train", tables, source.name)
    corpus = {}
    for split, table in pick_splits(tables).items():
        check_text_column(table.features, args.text_column, source.name)
        corpus[split] = _to_documents(table, args, "row")
        corpus[split].info.description = f"{source.name}, one document a row"
    return corpus


def read_files(paths: list[str], args: DataArguments, cache_dir: str | None) -> Dataset:
    groups: dict[Format, list[str]] = {}
    for path in paths:
        groups.setdefault(file_format(path, args.document_separator), []).append(path)
    corpus = concatenate_datasets([_read(group, form, args, cache_dir) for form, group in groups.items()])
    if not len(corpus):
        raise UserError(f"no text in {', '.join(map(repr, paths[:3]))}{' …' if len(paths) > 3 else ''}")
    corpus.info.description = "; ".join(
        f"{group[0] if len(group) == 1 else f'{len(group)} files'}: {form}" for form, group in groups.items()
    )
    return corpus


def file_format(path: str, separator: str, scanned_bytes: int = _SCANNED_BYTES) -> Format:
    """What the ending of a file's name says is in it; plain text is looked at, if `separator` is `auto`."""
    stem, extension = os.path.splitext(path.lower())
    if extension in COMPRESSED:
        extension = os.path.splitext(stem)[1]
    builder = _BUILDERS.get(extension, "text")
    if builder != "text":
        return Format(builder, extension, "row")
    if separator == "auto":
        separator = "blank_line" if _has_blank_line(path, scanned_bytes) else "line"
    return Format(builder, ".txt", separator)


def _has_blank_line(path: str, limit: int) -> bool:
    """Whether a blank line stands between two lines of text, in the first `limit` bytes."""
    text_seen = blank_seen = False
    scanned = 0
    try:
        with fsspec.open(path, "rb", compression="infer") as file:
            for line in file:
                if line.strip():
                    if blank_seen:
                        return True
                    text_seen = True
                else:
                    blank_seen = text_seen
                scanned += len(line)
                if scanned > limit:
                    break
    except READ_ERRORS as error:
        raise UserError(explain(path, "text", error)) from error
    return False


def _read(paths: list[str], form: Format, args: DataArguments, cache_dir: str | None) -> Dataset:
    """The documents of files of one format."""
    try:
        with silent_datasets():
            return _to_documents(_load(paths, form, args.text_column, cache_dir), args, form.separator)
    except READ_ERRORS as error:
        if len(paths) > 1:
            # One at a time: then other columns may differ from file to file, and an error names its file.
            return concatenate_datasets([_read([path], form, args, cache_dir) for path in paths])
        if isinstance(error, UserError):
            raise
        raise UserError(explain(paths[0], form.builder, error)) from error


def _load(paths: list[str], form: Format, column: str, cache_dir: str | None) -> Dataset:
    """A table of `paths`; a column that is missing or not text is found in the first row, before the long work."""
    options: dict[str, Any] = {"split": "train", "cache_dir": cache_dir}
    if form.builder == "text":
        options |= {"encoding": "utf-8-sig", "sample_by": "line" if form.separator == "line" else "paragraph"}
        return load_dataset(form.builder, data_files=[as_pattern(path) for path in paths], **options)
    # In JSON every file is looked at: datasets would give a later file the types and columns of the first.
    for path in paths if form.builder == "json" else paths[:1]:
        check_first_row(path, form, column)
    options |= table_options(form, column)
    table = load_dataset(form.builder, data_files=[as_pattern(path) for path in paths], **options)
    check_text_column(table.features, column, paths[0])
    return table


def as_pattern(path: str) -> str:
    """What `datasets` takes for this one file: its name may hold [ or *, as in a pattern."""
    return path if "://" in path else re.sub(r"([*?[])", r"[\1]", os.path.abspath(path))


def table_options(form: Format, column: str | None = None) -> dict[str, Any]:
    """Of the builder of a table: how it is read, and where the builder can, that only the text is."""
    options: dict[str, Any] = {}
    if form.builder == "csv":
        separator = "\t" if form.extension == ".tsv" else ","
        options = {"encoding": "utf-8-sig", "sep": separator, "keep_default_na": False}
        if column is not None:
            options |= {"usecols": [column], "features": Features({column: Value("string")})}
    elif form.builder == "parquet" and column is not None:
        options = {"columns": [column]}
    return options


def check_first_row(path: str, form: Format, column: str) -> None:
    """That the table `path` has a first row, with text in `column`."""
    table = load_dataset(
        form.builder, data_files=as_pattern(path), split="train", streaming=True, **table_options(form)
    )
    row = next(iter(table), None)
    if row is None:
        raise UserError(f"no text in {path!r}")
    # A CSV has no types: a text of digits is text.
    check_text_column(dict.fromkeys(row) if form.builder == "csv" else row, column, path)


def check_text_column(columns: Mapping[str, Any], column: str, source: str) -> None:
    """That `column` is among `columns`, which are features or a row, and is text."""
    if column not in columns:
        close = difflib.get_close_matches(column, columns, n=1)
        raise UserError(
            f"text_column: {source!r} has no column {column!r}, only {', '.join(columns)}"
            + (f"; did you mean {close[0]!r}?" if close else "")
        )
    kind = columns[column]
    if not (kind is None or isinstance(kind, str) or kind in _TEXT_TYPES):
        raise UserError(f"text_column: column {column!r} of {source!r} holds {reprlib.repr(kind)}, not text")


def _to_documents(table: Dataset, args: DataArguments, separator: str) -> Dataset:
    column = args.text_column if separator == "row" else "text"
    return table.select_columns([column]).map(
        split_documents,
        input_columns=column,
        remove_columns=[column],
        features=DOCUMENTS,
        fn_kwargs={"wrapped": separator == "blank_line"},
        desc="Reading documents",
        **args.map_options(len(table)),
    )


def split_documents(texts: list[str | None], wrapped: bool) -> dict[str, list[str]]:
    """Documents with text in them. `wrapped`: several may stand in one text, between blank lines."""
    documents = [text for text in texts if text]
    if wrapped:
        documents = [_LINE_BREAK.sub(" ", part).strip() for text in documents for part in _BLANK_LINES.split(text)]
    return {"text": [document for document in documents if document.strip()]}


@contextmanager
def silent_datasets() -> Iterator[None]:
    """Without the errors that `datasets` logs before it raises them."""
    verbosity = datasets_logging.get_verbosity()
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    try:
        yield
    finally:
        datasets_logging.set_verbosity(verbosity)
