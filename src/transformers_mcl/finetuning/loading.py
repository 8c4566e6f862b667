"""The examples of a task: from files, a folder of files named by split, or the Hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from ..data.files import find_files
from ..data.tables import files_of_split, load_from_hub, read_table
from ..errors import UserError
from ..io import nearest_path
from .arguments import TaskArguments
from .source import Source
from .task import LoadedTask, Task

__all__ = ["load_task"]

_Loaded = tuple[Dataset, Source]


def load_task(task: Task, args: TaskArguments, predict: bool = False, **hub: Any) -> LoadedTask:
    """A task with its examples, checked, with `predict` those to predict, too. `hub` is `cache_dir` and `token`.

    Raises:
        UserError: data that are not there, cannot be read or downloaded, or whatever there is to mend in them.
    """
    validations = list(task.validations)
    tests = [split.replace("validation", "test", 1) for split in validations] if predict else []
    loaded: dict[str, _Loaded] = {}
    if args.test_file:
        loaded |= _from_files(task, "test", args.test_file, tests, hub.get("cache_dir"))
        tests = []
    if args.train_file and args.validation_file:
        if tests:
            raise UserError("test_file: do_predict needs the examples to predict")
        loaded = {
            **_from_files(task, "train", args.train_file, ["train"], hub.get("cache_dir")),
            **_from_files(task, "validation", args.validation_file, validations, hub.get("cache_dir")),
            **loaded,
        }
    else:
        loaded = {**_from_dataset(task, args, ["train", *validations, *tests], hub), **loaded}
    limits = {"train": args.max_train_samples, "validation": args.max_eval_samples, "test": args.max_predict_samples}
    tables, sources = DatasetDict(), {}
    for split, (table, source) in loaded.items():
        sources[split] = source.first(limits[split.split("_")[0]])
        tables[split] = table.select(range(sources[split].rows))
    return task.kind(task, args, tables, sources)


def _from_dataset(task: Task, args: TaskArguments, splits: Sequence[str], hub: dict[str, Any]) -> dict[str, _Loaded]:
    """From a folder, which may have one for each task, or the Hub; by default the task's own data set there."""
    name = args.dataset_name or task.dataset_name
    if name is None:
        raise UserError(f"no data for {task.name}: give --train_file and --validation_file, or --dataset_name")
    if args.dataset_name and os.path.isdir(name):
        inside = os.path.join(name, task.name)
        folder = inside if os.path.isdir(inside) else name
        found = {split: files_of_split(folder, split) for split in splits}
        within = Path(folder).resolve().name
        return {split: _read(paths, "dataset_name", hub.get("cache_dir"), within) for split, paths in found.items()}
    if os.path.isfile(name):
        raise UserError(f"dataset_name: {name!r} is a file; give it as train_file{nearest_path(name)}")
    config = args.dataset_config_name or task.dataset_config_name
    tables = load_from_hub(name, config, splits, **hub)
    return {split: (table, Source(len(table), len(table), name, config, split)) for split, table in tables.items()}


def _from_files(
    task: Task, kind: str, given: list[str], splits: Sequence[str], cache_dir: str | None
) -> dict[str, _Loaded]:
    """The splits of a kind; where a task has two validation sets, one file is one of them."""
    parts = [[path] for path in given] if len(splits) > 1 else [given]
    if len(parts) > len(splits):
        raise UserError(f"{kind}_file: {task.name} has {len(splits)} {kind} sets, not {len(parts)}")
    return {split: _read(paths, f"{kind}_file", cache_dir) for split, paths in zip(splits, parts, strict=False)}


def _read(paths: list[str], argument: str, cache_dir: str | None, within: str = "") -> _Loaded:
    files = find_files(paths, argument)
    table = read_table(files, argument, cache_dir)
    return table, Source(len(table), len(table), files=tuple(str(Path(within, Path(file).name)) for file in files))
