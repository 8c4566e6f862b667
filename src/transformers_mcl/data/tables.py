"""Labelled examples, a row each, from files, a folder or the Hub."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
from datasets import Dataset, DatasetDict, load_dataset

from ..errors import UserError
from ..io import nearest_path, one_line
from .corpus import as_pattern, file_format, silent_datasets, table_options
from .files import READ_ERRORS, explain, find_files

__all__ = ["files_of_split", "load_from_hub", "read_table"]


def read_table(paths: Sequence[str], field: str, cache_dir: str | None = None) -> Dataset:
    """The rows of CSV, JSON lines or parquet files, also compressed, that `paths` (files, globs, folders) name.

    Raises:
        UserError: files that are missing, empty, unreadable, of several kinds, or plain text.
    """
    files = find_files(list(paths), field)
    if all(squads := [_squad_rows(path) for path in files]):
        return Dataset.from_list([row for rows in squads for row in rows or []])
    forms = {file_format(path, "line") for path in files}
    form = forms.pop()
    if forms or form.separator != "row":
        raise UserError(f"{field}: {files[-1]!r} and all others must be CSV, JSON lines or parquet, of one kind")
    try:
        with silent_datasets():
            table = load_dataset(
                form.builder,
                data_files=[as_pattern(path) for path in files],
                split="train",
                cache_dir=cache_dir,
                **table_options(form),
            )
    except READ_ERRORS as error:
        if "corresponds to no data" in str(error):
            raise UserError(f"{field}: {files[0]!r} has no rows") from error
        raise UserError(f"{field}: {explain(files[0], form.builder, error)}") from error
    if not len(table):
        raise UserError(f"{field}: {files[0]!r} has no rows")
    return table


def _squad_rows(path: str) -> list[dict[str, Any]] | None:
    """The questions of a file of SQuAD as its authors publish it, a row each; None if it is another."""
    if not path.lower().removesuffix(".gz").endswith(".json"):
        return None
    try:
        with fsspec.open(path, "rt", encoding="utf-8", compression="infer") as file:
            articles = json.load(file)["data"]
        return [
            {
                "id": question["id"],
                "question": question["question"],
                "context": paragraph["context"],
                "answers": {key: [answer[key] for answer in question["answers"]] for key in ("text", "answer_start")},
            }
            for article in articles
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (*READ_ERRORS, KeyError, TypeError):
        return None  # JSON lines say, or damaged: then the reader of these says how


def files_of_split(folder: str, split: str) -> list[str]:
    """The files of a folder that are named after a split, as `train.jsonl.gz` or `train-00000-of-00002.csv`.

    Raises:
        UserError: there is none.
    """
    named = [str(path) for path in sorted(Path(folder).iterdir()) if path.name.startswith((f"{split}.", f"{split}-"))]
    if not named:
        raise UserError(f"dataset_name: {folder!r} has no file {split}.csv, .jsonl or .parquet (or .gz of these)")
    return named


def load_from_hub(name: str, config: str | None, splits: Sequence[str], **hub: Any) -> DatasetDict:
    """Splits of a data set of the Hub, or of a folder that `datasets` reads by itself.

    Raises:
        UserError: there is none, or it lacks a split; the message says how to give files instead.
    """
    try:
        with silent_datasets():
            tables: Mapping[str, Dataset] = load_dataset(name, config, **hub)
    except READ_ERRORS as error:
        what = f"{name!r}{f' ({config})' if config else ''}"
        raise UserError(
            f"the data set {what} cannot be had here: {one_line(error)}{nearest_path(name)}; give its rows as "
            "--train_file and --validation_file, or as --dataset_name FOLDER with "
            + " and ".join(f"{os.path.join(config or '', split)}.jsonl" for split in splits)
        ) from error
    missing = [split for split in splits if split not in tables]
    if missing:
        raise UserError(f"dataset_name: {name!r} has no split {missing[0]!r}, only {', '.join(map(str, tables))}")
    return DatasetDict({split: tables[split] for split in splits})
