"""The examples of a task: from files, a folder of files named by split, or the Hub."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from sklearn.model_selection import train_test_split
from transformers import PreTrainedConfig
from transformers.utils import logging

from ..data.files import find_files
from ..data.sources import SPLIT_NAMES, is_described, named_splits
from ..data.tables import load_splits, read_table, split_files
from ..errors import UserError
from ..io import nearest_path
from .arguments import TaskArguments
from .source import Source
from .task import TASKS, LoadedTask, Task

__all__ = ["Wanted", "load_task"]

logger = logging.get_logger(__name__)

_Loaded = tuple[Dataset, Source]


@dataclass(frozen=True)
class Wanted:
    """What a task's examples are for.

    Attributes:
        train: to train on.
        evaluate: to evaluate on; None: if there are any.
        predict: to predict.
        seed: of a part of the training examples that is kept to evaluate on.
    """

    train: bool = True
    evaluate: bool | None = True
    predict: bool = False
    seed: int = 42


def load_task(
    task: Task,
    args: TaskArguments,
    wanted: Wanted = Wanted(),  # noqa: B008
    checkpoint: PreTrainedConfig | None = None,
    **hub: Any,
) -> LoadedTask:
    """A task with its examples, checked.

    Args:
        task: what it is.
        args: where they are.
        wanted: which of them are needed.
        checkpoint: of a model that is used as it is: its classes are those of the examples.
        hub: `cache_dir` and `token`.

    Raises:
        UserError: data that are not there, cannot be read or downloaded, or whatever there is to mend in them.
    """
    found = _find(task, args, wanted, hub)
    if wanted.train and "train" not in found:
        raise UserError(f"no training data for {task.name}: give --train_file, or --dataset_name{_origin(task)}")
    validations = [split for split in task.validations if split in found]
    if wanted.train and not validations and wanted.evaluate is not False and args.validation_split_percentage:
        validations = list(task.validations)[:1]
        found["train"], found[validations[0]] = _split(found["train"], task, args, wanted.seed)
    if wanted.evaluate and not validations:
        more = " or --validation_split_percentage" if wanted.train else ""
        raise UserError(
            f"no validation data for {task.name}: give --validation_file{more}, or --do_eval false{_origin(task)}"
        )
    limits = {
        "train": args.max_train_samples or task.max_train_samples,
        "validation": args.max_eval_samples,
        "test": args.max_predict_samples,
    }
    tables, sources = DatasetDict(), {}
    for split, (table, source) in found.items():
        sources[split] = source.first(limits[split.split("_")[0]])
        tables[split] = table.select(range(sources[split].rows))
    return task.kind(task, args, tables, sources, checkpoint)


def _find(task: Task, args: TaskArguments, wanted: Wanted, hub: dict[str, Any]) -> dict[str, _Loaded]:
    """The splits that are wanted, and there: from files, and those of which there are none from a data set."""
    validations = list(task.validations)
    tests = [split.replace("validation", "test", 1) for split in validations]
    found: dict[str, _Loaded] = {}
    missing: list[str] = []
    for kind, splits, needed in (
        ("train", ["train"], wanted.train),
        ("validation", validations, wanted.evaluate is not False),
        ("test", tests, wanted.predict),
    ):
        files = getattr(args, f"{kind}_file")
        if needed and files:
            found |= _from_files(task, kind, files, splits, args, hub.get("cache_dir"))
        elif needed:
            missing += splits
    if args.dataset_name or not (args.train_file or args.validation_file or (args.test_file and not wanted.train)):
        loaders = _from_dataset(task, args, hub)
        names = {split: _name_among(loaders, split) for split in missing}
        found |= {split: loaders[name]() for split, name in names.items() if name is not None}
    if wanted.predict and not any(split in found for split in tests):
        raise UserError(f"test_file: do_predict needs the examples to predict, and {task.name} has none here")
    return {split: found[split] for split in ("train", *validations, *tests) if split in found}


def _origin(task: Task) -> str:
    """Where the files of a task come from that the Hub has not, as the end of a message."""
    return f"; its files are {task.files_from}" if task.files_from else ""


def _name_among(names: Container[str], split: str) -> str | None:
    """What a split is called: `dev_matched` where `validation_matched` is looked for."""
    kind = split.split("_")[0]
    usual = (name + split.removeprefix(kind) for name in SPLIT_NAMES[kind])
    return next((name for name in usual if name in names), None)


def _has_split(names: Container[str], task: Task) -> bool:
    return any(_name_among(names, split) for split in ("train", "test", *task.validations))


def _from_dataset(task: Task, args: TaskArguments, hub: dict[str, Any]) -> dict[str, Callable[[], _Loaded]]:
    """What loads each split of a folder, which may have one for each task, or of the Hub; by default of the task's own
    data set there."""
    name = args.dataset_name or task.dataset_name
    if name is None:
        raise UserError(
            f"no data for {task.name}: give --train_file and --validation_file, or --dataset_name{_origin(task)}"
        )
    if args.dataset_name and os.path.isfile(name):
        raise UserError(f"dataset_name: {name!r} is a file; give it as train_file{nearest_path(name)}")
    config, folder = args.dataset_config_name or task.dataset_config_name, ""
    loaders: dict[str, Callable[[], _Loaded]] = {}
    if args.dataset_name and os.path.isdir(name):
        called = [each for each in (task.name, task.folder) if each]
        inside = (os.path.join(name, each) for each in called)
        name, config = next(filter(os.path.isdir, inside), name), args.dataset_config_name
        folder = Path(name).resolve().name
        for split, paths in split_files(name, called).items():
            loaders[split] = partial(_read, paths, "dataset_name", args, hub.get("cache_dir"), folder)
    if not folder or is_described(name) or (not _has_split(loaders, task) and _is_one_dataset(name)):
        tables = load_splits(name, config, **hub)
        loaders = {split: partial(_of_dataset, table, split, name, config, folder) for split, table in tables.items()}
    main = next(iter(task.validations))
    for split in (main, main.replace("validation", "test", 1)):  # of one set only nobody says which it is
        if _name_among(loaders, split) is None and (plain := _name_among(loaders, split.split("_")[0])):
            loaders[split] = loaders[plain]
    if not _has_split(loaders, task):
        raise UserError(
            f"dataset_name: {name!r} has no train.jsonl, .csv or .parquet (or .gz of these), nor a split of this name"
            + (f", only {', '.join(sorted(loaders))}" if loaders else "")
        )
    return loaders


def _is_one_dataset(folder: str) -> bool:
    """Whether a folder's files name splits, and it is none of a folder for each task, of which this one is missing."""
    return bool(named_splits(folder)) and not any(os.path.isdir(os.path.join(folder, name)) for name in TASKS)


def _of_dataset(table: Dataset, split: str, name: str, config: str | None, folder: str) -> _Loaded:
    if folder:
        return table, Source(len(table), len(table), files=(f"{folder}, split {split}",))
    return table, Source(len(table), len(table), name, config, split)


def _from_files(
    task: Task, kind: str, given: list[str], splits: Iterable[str], args: TaskArguments, cache_dir: str | None
) -> dict[str, _Loaded]:
    """The splits of a kind; where a task has two validation sets, one file is one of them."""
    splits = list(splits)
    parts = [[path] for path in given] if len(splits) > 1 else [given]
    if len(parts) > len(splits):
        raise UserError(f"{kind}_file: {task.name} has {len(splits)} {kind} sets, not {len(parts)}")
    return {split: _read(paths, f"{kind}_file", args, cache_dir) for split, paths in zip(splits, parts, strict=False)}


def _read(paths: list[str], argument: str, args: TaskArguments, cache_dir: str | None, within: str = "") -> _Loaded:
    files = find_files(paths, argument)
    table = read_table(files, argument, cache_dir, args)
    return table, Source(len(table), len(table), files=tuple(str(Path(within, Path(file).name)) for file in files))


def _split(loaded: _Loaded, task: Task, args: TaskArguments, seed: int) -> tuple[_Loaded, _Loaded]:
    """Training examples without a part, and that part: the same for a seed, and where every class has examples enough
    with each class's share."""
    table, source = loaded
    percent = args.validation_split_percentage or 0
    if len(table) < 2:
        raise UserError(f"validation_split_percentage: {source.place} has one row only")
    kept = min(max(round(len(table) * percent / 100), 1), len(table) - 1)
    classes = _few_classes(table, args.label_column_name or task.label_column or "label")
    enough = classes is not None and len(set(classes)) <= min(kept, len(table) - kept)
    parts = train_test_split(
        range(len(table)), test_size=kept, random_state=seed, stratify=classes if enough else None
    )
    logger.warning(f"{task.name}: {kept:,} of the {len(table):,} training rows are kept to evaluate on")
    train, validation = (
        (table.select(sorted(part)), source.part(len(part), said))
        for part, said in zip(parts, (f"without {percent:g} %", f"{percent:g} %"), strict=True)
    )
    return train, validation


def _few_classes(table: Dataset, column: str) -> list[str] | None:
    """The labels of a column, if they are classes of which each has two examples at least."""
    labels = list(table[column]) if column in table.column_names else []
    if not labels or not all(isinstance(label, str | int) for label in labels):
        return None
    counts = Counter(map(str, labels))
    return list(map(str, labels)) if min(counts.values()) > 1 else None
