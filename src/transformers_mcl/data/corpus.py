"""Raw text, in whatever form it comes, as one document a row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, Value, load_dataset, load_dataset_builder
from transformers.utils import logging

from ..errors import UserError
from ..io import nearest_path, one_line
from .arguments import DataArguments
from .cached import write_once
from .documents import Mark, Place, Reading, Shard, describe, divide, read_marked, stamp
from .files import find_files
from .opening import READ_ERRORS

logger = logging.get_logger(__name__)

DOCUMENTS = Features({"text": Value("string")})
_MARKED = Features({"text": Value("string"), "problem": Value("string"), "place": Value("string")})
_READER = 1  # another number where the same files give other documents than before: caches are then made anew
_ROWS_A_TABLE = 1000


def load_corpus(args: DataArguments, cache_dir: str | None = None, seed: int = 0) -> DatasetDict:
    """The text that `args` names, as splits `train` and `validation` with one column, `text`, one document a row.

    Documents without text are dropped. In plain text a document is a line, or what stands between blank lines, its
    lines joined by spaces (`args.document_separator`). What was read, and how, is in `info.description` of a split.

    Args:
        args: names files or a dataset, and the text column.
        cache_dir: where `datasets` keeps what it has read; its own default if None.
        seed: of the choice of held-out documents, when `args` names no validation text. Keep it the same between runs
            that are to be compared.

    Raises:
        UserError: a file or dataset is missing, empty or unreadable, is not UTF-8, or lacks the text column.
    """
    files = local_files(args)
    corpus = {split: read_files(paths, args, cache_dir) for split, paths in files.items()}
    if "train" not in corpus:
        corpus = _read_from_hub(args, cache_dir) | corpus
    if "validation" not in corpus:
        corpus = _hold_out(corpus["train"], args.validation_split_percentage, seed)
    for split in ("train", "validation"):
        logger.info(f"{split}: {len(corpus[split])} documents; {corpus[split].info.description}")
    return DatasetDict(train=corpus["train"], validation=corpus["validation"])


def local_files(args: DataArguments) -> dict[str, list[str]]:
    """The files of each split, checked to exist; no training split if `args` names a dataset of the Hub."""
    files = {}
    if args.train_file:
        files["train"] = find_files(args.train_file, "train_file", skip_empty=True)
    elif args.dataset_name and os.path.isdir(args.dataset_name):
        files = _files_of_dataset(args.dataset_name, args.dataset_config_name)
    elif args.dataset_name and os.path.isfile(args.dataset_name):
        raise UserError(f"dataset_name: {args.dataset_name!r} is a file; give it as train_file")
    elif not args.dataset_name:
        raise UserError("no training text: give train_file or dataset_name")
    if args.validation_file:
        files["validation"] = find_files(args.validation_file, "validation_file", skip_empty=True)
    return files


def _files_of_dataset(folder: str, config: str | None) -> dict[str, list[str]]:
    """The files of a directory that `Dataset(Dict).save_to_disk` wrote, or that holds data files."""
    try:
        if any((Path(folder) / name).is_file() for name in ("dataset_dict.json", "state.json")):
            saved = datasets.load_from_disk(folder)
            tables = saved if isinstance(saved, DatasetDict) else {"train": saved}
            found = {split: [file["filename"] for file in table.cache_files] for split, table in tables.items()}
        else:
            found = dict(load_dataset_builder(folder, config).config.data_files or {})
    except READ_ERRORS as error:
        raise UserError(f"dataset_name: {folder!r} cannot be read as a dataset: {one_line(error)}") from error
    check_has_train(found, folder)
    return {
        str(split): find_files([str(path) for path in paths], "dataset_name", skip_empty=True)
        for split, paths in found.items()
        if split in ("train", "validation")
    }


def check_has_train(splits: dict[str, Any], name: str) -> None:
    if "train" not in splits:
        raise UserError(f"dataset_name: {name!r} has no split 'train', only {', '.join(map(str, splits))}")


@contextmanager
def reading_from_hub(name: str) -> Iterator[None]:
    """With a one-line error where the Hub gives no dataset `name`."""
    try:
        yield
    except READ_ERRORS as error:
        raise UserError(
            f"dataset_name: {name!r} is no directory here, and the Hub gave no dataset: {one_line(error)}"
            + nearest_path(name)
        ) from error


def _read_from_hub(args: DataArguments, cache_dir: str | None) -> dict[str, Dataset]:
    name = str(args.dataset_name)
    with reading_from_hub(name):
        tables = load_dataset(name, args.dataset_config_name, cache_dir=cache_dir)
    check_has_train(tables, name)
    corpus = {}
    for split in ("train", "validation"):
        if split in tables:
            files = [file["filename"] for file in tables[split].cache_files]
            corpus[split] = read_files(files, replace(args, file_format="arrow"), cache_dir)
            corpus[split].info.description = f"{name}, one document a row"
    return corpus


def read_files(paths: list[str], args: DataArguments, cache_dir: str | None) -> Dataset:
    """The documents of files, in order, from the cache if nothing has changed.

    Raises:
        UserError: a file cannot be read, or none holds text.
    """
    how = Reading.of(args)
    shards = divide(paths, how)
    marked = write_once(
        _marked_tables,
        {"shards": shards, "how": how},
        _MARKED,
        [_READER, astuple(how), [(os.path.abspath(path), *stamp(path)) for path in paths]],
        cache_dir=cache_dir,
        num_proc=args.map_options(len(shards))["num_proc"],
        overwrite=args.overwrite_cache,
    )
    corpus = _without_marks(marked)
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(describe(path, how), []).append(path)
    corpus.info.description = "; ".join(
        f"{group[0] if len(group) == 1 else f'{len(group)} files'}: {form}" for form, group in groups.items()
    )
    return corpus


def _marked_tables(shards: list[Shard], how: Reading) -> Iterator[pa.Table]:
    """What `read_marked` reads, as columns of strings."""
    documents = chain.from_iterable(read_marked(shard, how) for shard in shards)
    while batch := list(islice(documents, _ROWS_A_TABLE)):
        rows = [(found, None, None) if isinstance(found, str) else _row(found) for found in batch]
        yield pa.table([*zip(*rows, strict=True)], schema=_MARKED.arrow_schema)


def _row(mark: Mark) -> tuple[str | None, str, str]:
    return mark.text, mark.problem, json.dumps(mark.place)


def _without_marks(marked: Dataset) -> Dataset:
    """The documents; how many were passed over or mended is said."""
    problems = marked.data.column("problem")
    for problem in problems.unique().drop_null().to_pylist():
        found = pc.equal(problems, problem)
        first = Place(*json.loads(marked[pc.index(found, True).as_py()]["place"]))
        count = pc.sum(found).as_py()
        logger.warning(f"{problem}: {count:,} of {len(marked):,}, the first at {first}")
    texts = marked.data.column("text")
    documents = marked.select_columns(["text"])
    if texts.null_count:
        documents = documents.select(np.flatnonzero(texts.is_valid().to_numpy()))
    return documents


def _hold_out(corpus: Dataset, percentage: float, seed: int) -> dict[str, Dataset]:
    """A random part of the documents as validation split, at least one; order is kept in both."""
    documents = len(corpus)
    if documents < 2:
        raise UserError(
            f"the training text is a single document ({corpus.info.description}), so none can be held out:"
            " give validation_file, or another document_separator"
        )
    held_out = np.zeros(documents, dtype=bool)
    count = min(max(round(documents * percentage / 100), 1), documents - 1)
    held_out[np.random.default_rng(seed).choice(documents, count, replace=False)] = True
    return {
        "train": corpus.select(np.flatnonzero(~held_out)),
        "validation": corpus.select(np.flatnonzero(held_out)),
    }
