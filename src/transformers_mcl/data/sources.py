"""The sources of text that arguments name: files, folders as they are or as data sets, data sets of the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from datasets import Dataset, load_dataset_builder, load_from_disk
from datasets.data_files import NON_WORDS_CHARS, SPLIT_KEYWORDS

from ..errors import UserError
from ..io import nearest_path, one_line, without_secrets
from .arguments import DataArguments
from .files import find_files
from .opening import READ_ERRORS

__all__ = [
    "SPLIT_NAMES",
    "Source",
    "check_has",
    "find_sources",
    "find_validation_files",
    "is_described",
    "is_saved",
    "name_sources",
    "named_splits",
    "open_saved",
    "pick_splits",
    "reading_from_hub",
    "remote_files",
]

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing"),
}
"""What data sets and their authors call the splits; of several, the first that there is."""

_SAVED = ("dataset_dict.json", "state.json")
_CARD = "README.md"

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Text of one origin.

    Attributes:
        name: as it was given.
        files: by split, `train` and perhaps `validation`; nothing if it is a data set of the Hub.
        config: the configuration of that data set.
    """

    name: str
    files: Mapping[str, list[str]]
    config: str | None = None


def find_sources(args: DataArguments) -> list[Source]:
    """The sources of training text. All that `train_file` names is one, unless `args` gives them weights.

    Raises:
        UserError: a file or folder is missing or has no training text, or there are not as many weights as sources.
    """
    given = args.train_file or []
    groups = [[item] for item in given] if args.mixing_weights else [given] if given else []
    sources = [Source(_named(group), _files(group, "train_file", "train")) for group in groups]
    configs: Sequence[str | None] = args.dataset_config_name or [None] * len(args.dataset_name or [])
    sources += [_dataset(name, config) for name, config in zip(args.dataset_name or [], configs, strict=True)]
    if not sources:
        raise UserError("no training text: give train_file or dataset_name")
    return sources


def name_sources(args: DataArguments) -> str:
    """As they were given, with their weights."""
    names = [*(args.train_file or []), *(args.dataset_name or [])]
    if args.mixing_weights:
        total = sum(args.mixing_weights)
        names = [f"{weight / total:.3g} {name}" for weight, name in zip(args.mixing_weights, names, strict=True)]
    return without_secrets(", ".join(names))


def find_validation_files(args: DataArguments) -> list[str]:
    """What `validation_file` names; of a folder that is a data set, its validation split.

    Raises:
        UserError: a file is missing, or a data set has no validation split.
    """
    return _files(args.validation_file, "validation_file", "validation")["validation"] if args.validation_file else []


def _named(items: list[str]) -> str:
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")


def _files(items: list[str], field: str, split: str) -> dict[str, list[str]]:
    """The files that `items` (files, globs, folders) name, as those of `split`, and those of the other one if an item
    is a data set that has it."""
    paths: dict[str, list[str]] = {split: []}
    for item in map(os.path.expanduser, items):
        if os.path.isdir(item) and _is_dataset(item):
            found = _files_of_folder(item, None, field)
            check_has(split, found, item, field)
            for name, files in pick_splits(found).items():
                paths.setdefault(name, []).extend(files)
        else:
            paths[split].append(item)
    return {name: find_files(files, field, skip_empty=True) for name, files in paths.items() if files}


def _dataset(name: str, config: str | None) -> Source:
    if os.path.isfile(name):
        raise UserError(f"dataset_name: {name!r} is a file; give it as train_file")
    if not os.path.isdir(name):
        return Source(name, {}, config)
    found = _files_of_folder(name, config, "dataset_name")
    check_has("train", found, name)
    files = {split: find_files(paths, "dataset_name", skip_empty=True) for split, paths in pick_splits(found).items()}
    return Source(name, files, config)


def is_saved(folder: str) -> bool:
    """Whether `save_to_disk` of `datasets` wrote a folder."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in _SAVED)


def open_saved(folder: str) -> dict[str, Dataset]:
    """The splits of such a folder; what has none is `train`."""
    saved = load_from_disk(folder)
    return {"train": saved} if isinstance(saved, Dataset) else {str(name): table for name, table in saved.items()}


def is_described(folder: str) -> bool:
    """Whether a folder says itself which files are of which split: `datasets` saved it, or it has a card with
    metadata, as a copy of a repository of the Hub has."""
    if is_saved(folder):
        return True
    card = Path(folder, _CARD)
    if not card.is_file():
        return False
    with card.open("rb") as file:
        return file.read(3) == b"---"


def named_splits(folder: str) -> set[str]:
    """The splits that the names of files and folders in a folder speak of, by the rule of `datasets`."""
    return {split for path in _inside(folder) for split, pattern in _NAMED_AFTER.items() if pattern.search(path)}


def _is_dataset(folder: str) -> bool:
    """Whether a folder is laid out as a data set. Of text, one name alone may speak of training by chance."""
    return is_described(folder) or {"train"} < named_splits(folder)


def _inside(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)


_NAMED_AFTER = {
    str(split): re.compile(rf"(^|[{NON_WORDS_CHARS}/\\])({'|'.join(words)})([{NON_WORDS_CHARS}/\\]|$)")
    for split, words in SPLIT_KEYWORDS.items()
}


def _files_of_folder(folder: str, config: str | None, field: str) -> dict[str, list[str]]:
    """The files of all splits of a folder that `save_to_disk` wrote, or that `datasets` would read."""
    try:
        if is_saved(folder):
            tables = open_saved(folder)
            return {name: [file["filename"] for file in table.cache_files] for name, table in tables.items()}
        found = load_dataset_builder(folder, config).config.data_files or {}
        return {str(split): [str(path) for path in paths] for split, paths in found.items()}
    except READ_ERRORS as error:
        raise UserError(f"{field}: {folder!r} cannot be read as a dataset: {one_line(error)}") from error


def remote_files(source: Source, token: str | None = None) -> dict[str, list[str]]:
    """Addresses of the files of a data set of the Hub, by split; no file is read.

    Raises:
        UserError: there is no such data set, or it has no training split.
    """
    with reading_from_hub(source.name):
        found = load_dataset_builder(source.name, source.config, token=token).config.data_files or {}
    check_has("train", found, source.name)
    return {split: [str(path) for path in paths] for split, paths in pick_splits(found).items()}


def pick_splits(splits: Mapping[Any, T]) -> dict[str, T]:
    """Those to train on and to hold out, whatever they are called."""
    by_name = {str(name): value for name, value in splits.items()}
    kept = {split: SPLIT_NAMES[split] for split in ("train", "validation")}
    found = {split: next((name for name in names if name in by_name), None) for split, names in kept.items()}
    return {split: by_name[name] for split, name in found.items() if name is not None}


def check_has(split: str, splits: Iterable[Any], name: str, field: str = "dataset_name") -> None:
    """Raises UserError if a data set lacks a split; says which it has."""
    if split not in pick_splits(dict.fromkeys(splits)):
        raise UserError(f"{field}: {name!r} has no split {split!r}, only {', '.join(map(str, splits))}")


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
