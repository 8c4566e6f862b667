"""Raw text, in whatever form it comes, as one document a row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import astuple, replace
from itertools import chain, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, Value, load_dataset
from transformers.utils import logging

from .arguments import DataArguments
from .cached import READER, write_once
from .documents import Mark, Place, Reading, Shard, describe, divide, read_marked, stamp
from .duplicates import warn_of_overlap
from .mixing import Text, deduplicate, hold_out, join
from .sources import Source, check_has, find_sources, find_validation_files, pick_splits, reading_from_hub

logger = logging.get_logger(__name__)

DOCUMENTS = Features({"text": Value("string")})
_MARKED = Features({"text": Value("string"), "problem": Value("string"), "place": Value("string")})
_ROWS_A_TABLE = 1000


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
    if args.looks_for_overlap:
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
        files = [file["filename"] for file in table.cache_files]
        corpus[split] = read_files(files, replace(args, file_format="arrow"), cache_dir)
        corpus[split].info.description = f"{source.name}, one document a row"
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
        [READER, astuple(how), [(os.path.abspath(path), *stamp(path)) for path in paths]],
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
