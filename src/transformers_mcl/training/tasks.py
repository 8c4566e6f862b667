"""Tasks to fine-tune an encoder on: which head, how examples become rows of ids, and what is measured."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from transformers import (
    AutoModelForSequenceClassification,
    EvalPrediction,
    PreTrainedTokenizerBase,
)

from ..data.files import nearest_path
from ..data.tables import load_from_hub, read_folder, read_table
from ..errors import UserError
from ..evaluation.glue import GLUE_TASKS, classification_metrics, glue_metrics, regression_metrics
from .span_tasks import QuestionAnsweringTask, TokenTask
from .task import Task, check_column
from .task_arguments import TaskArguments

__all__ = ["SequenceTask", "load_tables", "make_task"]


class SequenceTask(Task):
    """Classes or a score for a sentence or a pair of them: GLUE's tasks and any like them."""

    auto = AutoModelForSequenceClassification
    pipeline_tag = "text-classification"

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        super().__init__(name, args, tables)
        self.glue = GLUE_TASKS.get(name)
        self.label_column = args.label_column_name or "label"
        for split, table in tables.items():
            check_column(table, self.label_column, split, "label_column_name")
        self.columns = self._text_columns()
        self.classes = self._classes()
        self.regression = not self.classes
        for split in tables:
            self._check(split)
        named = self.glue.metrics[0] if self.glue else None
        self.main_metric = named or ("spearmanr" if self.regression else "accuracy")

    def _text_columns(self) -> list[str]:
        train = self.tables["train"]
        if given := self.args.text_column_names:
            columns = [name.strip() for name in given.split(",")]
        elif self.glue:
            columns = list(self.glue.columns)
        else:
            texts = [
                name for name, kind in train.features.items() if str(getattr(kind, "dtype", "")).endswith("string")
            ]
            texts = [name for name in texts if name not in (self.label_column, "id", "idx")]
            columns = ["sentence1", "sentence2"] if {"sentence1", "sentence2"} <= set(texts) else texts[:2]
        if not 1 <= len(columns) <= 2:
            raise UserError(
                f"text_column_names: one or two columns, not {len(columns)}; the training data have "
                + ", ".join(train.column_names)
            )
        for split, table in self.tables.items():
            for name in columns:
                check_column(table, name, split, "text_column_names")
                if None in table.unique(name):
                    raise UserError(f"column {name!r} of the {split} data has a row without text")
        return columns

    def _classes(self) -> list[Any]:
        """The labels in the order of their ids; none of a regression."""
        feature = self.tables["train"].features[self.label_column]
        floats = str(getattr(feature, "dtype", "")).startswith(("float", "double"))
        if self.glue:
            return list(self.glue.labels)
        if self.name == "regression" or floats:
            return []
        if isinstance(feature, ClassLabel):
            return list(feature.names)
        values = self.tables["train"].unique(self.label_column)
        if None in values:
            raise UserError(f"column {self.label_column!r} of the train data has a row without a label")
        return sorted(values, key=lambda value: (str(type(value)), value))

    def _check(self, split: str) -> None:
        """Every label of a split can be learnt from the training data."""
        values = self.tables[split].unique(self.label_column)
        for value in values:
            if self.regression:
                try:
                    fine = math.isfinite(float(value))
                except (TypeError, ValueError):
                    fine = False
                wanted = "a number"
            else:
                fine, wanted = self._id(value) is not None, f"one of {', '.join(map(str, self.classes[:20]))}"
            if not fine:
                unseen = "" if split == "train" or self.glue or self.regression else ", the labels in training"
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {value!r}, not {wanted}{unseen}"
                )
        if not self.regression and split == "train" and len(values) < 2:
            raise UserError(f"column {self.label_column!r} of the train data holds one label only, {values[0]!r}")

    def _id(self, value: Any) -> int | None:
        """The id of a label, given by name or, where the data or GLUE count them, as a number."""
        counted = self.glue is not None or isinstance(self.tables["train"].features[self.label_column], ClassLabel)
        if counted and isinstance(value, int):
            return value if 0 <= value < len(self.classes) else None
        return self.classes.index(value) if value in self.classes else None

    @property
    def model_fields(self) -> dict[str, Any]:
        if self.regression:
            return {"num_labels": 1, "problem_type": "regression"}
        names = {i: str(value) for i, value in enumerate(self.classes)}
        ids = {name: i for i, name in names.items()}
        return {"id2label": names, "label2id": ids, "problem_type": "single_label_classification"}

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        def rows(batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
            texts = [[str(text) for text in batch[column]] for column in self.columns]
            padding = "max_length" if self.args.pad_to_max_length else False
            encoded = dict(tokenizer(*texts, max_length=length, truncation=True, padding=padding))
            convert: Any = float if self.regression else self._id
            return {**encoded, "labels": [convert(value) for value in batch[self.label_column]]}

        return self.map(split, rows)

    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        logits = predicted.predictions[0] if isinstance(predicted.predictions, tuple) else predicted.predictions
        references = np.asarray(predicted.label_ids)
        answers = np.squeeze(logits, -1) if self.regression else np.argmax(logits, -1)
        if self.glue:
            return glue_metrics(self.name, answers, references)
        if self.regression:
            return regression_metrics(answers, references)
        return classification_metrics(answers, references, len(self.classes))

    def describe(self) -> str:
        kind = "a score" if self.regression else f"{len(self.classes)} classes"
        return f"{super().describe()}; {' and '.join(self.columns)} to {kind} ({self.label_column})"


def load_tables(name: str, args: TaskArguments, **hub: Any) -> DatasetDict:
    """The examples of a task: `train` and its validation splits.

    Raises:
        UserError: data that are not there, cannot be read, or cannot be downloaded; it says how to give them as files.
    """
    glue = GLUE_TASKS.get(name)
    splits = ["train", *(glue.validations if glue else ("validation",))]
    cache_dir = hub.get("cache_dir")
    if args.train_file and args.validation_file:
        files = [[path] for path in args.validation_file] if len(splits) > 2 else [args.validation_file]
        if len(files) > len(splits) - 1:
            raise UserError(f"validation_file: {name} has {len(splits) - 1} validation sets, not {len(files)}")
        tables = DatasetDict(train=read_table(args.train_file, "train_file", cache_dir))
        tables |= {
            split: read_table(paths, "validation_file", cache_dir)
            for split, paths in zip(splits[1:], files, strict=False)
        }
    elif args.dataset_name and os.path.isdir(args.dataset_name):
        inside = os.path.join(args.dataset_name, name)
        tables = read_folder(inside if os.path.isdir(inside) else args.dataset_name, splits, cache_dir)
    else:
        own = {"squad": "rajpurkar/squad", "squad_v2": "rajpurkar/squad_v2"}
        default, config = ("nyu-mll/glue", name) if glue else (own.get(name), None)
        source = args.dataset_name or default
        if source is None:
            raise UserError(f"no data for {name}: give --train_file and --validation_file, or --dataset_name")
        if os.path.isfile(source):
            raise UserError(f"dataset_name: {source!r} is a file; give it as train_file{nearest_path(source)}")
        tables = load_from_hub(source, args.dataset_config_name or config, splits, **hub)
    for split, table in tables.items():
        most = args.max_train_samples if split == "train" else args.max_eval_samples
        tables[split] = table.select(range(min(most or len(table), len(table))))
    return DatasetDict(tables)


def make_task(name: str, args: TaskArguments, **hub: Any) -> Task:
    """A task with its examples, checked.

    Args:
        name: one of `TASK_NAMES`.
        args: where its examples are.
        hub: `cache_dir` and `token` for what is downloaded.

    Raises:
        UserError: whatever there is to mend in the data.
    """
    if name in ("squad", "squad_v2", "question_answering"):
        kind: type[Task] = QuestionAnsweringTask
    else:
        kind = TokenTask if name == "token_classification" else SequenceTask
    return kind(name, args, load_tables(name, args, **hub))
