"""Tasks to fine-tune an encoder on: which head, how examples become rows of ids, and what is measured."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from transformers import (
    AutoModelForSequenceClassification,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import PredictionOutput

from ..data.tables import load_from_hub, read_folder, read_table
from ..errors import UserError
from ..evaluation.glue import GLUE_TASKS, classification_metrics, glue_metrics, regression_metrics
from ..io import nearest_path
from .arguments import TaskArguments
from .span_tasks import QuestionAnsweringTask, TokenTask
from .task import Task, check_column, class_namer, model_order

__all__ = ["SequenceTask", "load_tables", "make_task"]


class SequenceTask(Task):
    """Classes or a score for a sentence or a pair of them: GLUE's tasks and any like them."""

    auto = AutoModelForSequenceClassification
    pipeline_tag = "text-classification"

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        super().__init__(name, args, tables)
        self.glue = GLUE_TASKS.get(name)
        self.label_column = args.label_column_name or "label"
        for split, table in self.labelled.items():
            check_column(table, self.label_column, split, "label_column_name")
        self.columns = self._text_columns()
        self.classes = self._classes()
        self.order = list(range(len(self.classes)))  # of the head's classes, which a checkpoint may have in another
        self.regression = not self.classes
        for split in self.labelled:
            self._check(split)
        if self.glue:
            self.metric_names = self.glue.metrics
        else:
            self.metric_names = ("spearmanr", "pearson", "mse") if self.regression else ("accuracy", "f1")
        self.main_metric = self.metric_names[0]

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
                check_column(table, name, split, "text_column_names", text=True)
        return columns

    def _classes(self) -> list[str]:
        """The names of the classes in the order of their ids; none of a regression."""
        feature = self.tables["train"].features[self.label_column]
        floats = str(getattr(feature, "dtype", "")).startswith(("float", "double"))
        if self.glue:
            return list(self.glue.labels)
        if self.name == "regression" or floats:
            return []
        if isinstance(feature, ClassLabel):
            return list(feature.names)
        values = self.tables["train"].unique(self.label_column)
        if None in values or "" in values:
            raise UserError(f"column {self.label_column!r} of the train data has a row without a label")
        return [str(value) for value in sorted(values)]

    def _check(self, split: str) -> None:
        """Every label of a split can be learnt from the training data."""
        values, name = self.tables[split].unique(self.label_column), self._namer(split)
        least, most = (0, 5) if self.glue else (-sys.float_info.max, sys.float_info.max)  # STS-B's scores
        wanted = f"one of {', '.join(self.classes[:20])}"
        if self.regression:
            wanted = f"a number from {least} to {most}" if self.glue else "a number"
        for value in values:
            if not (least <= _number(value) <= most if self.regression else name(value) in self.classes):
                unseen = "" if split == "train" or self.glue or self.regression else ", the labels in training"
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {value!r}, not {wanted}{unseen}"
                )
        if not self.regression and split == "train" and len(values) < 2:
            raise UserError(f"column {self.label_column!r} of the train data holds one label only, {values[0]!r}")

    def _namer(self, split: str) -> Callable[[Any], str]:
        """From a label of a split to the name of its class: GLUE counts them, and a training set may."""
        counted = self.glue is not None or isinstance(self.tables["train"].features[self.label_column], ClassLabel)
        feature = self.tables[split].features[self.label_column]
        if isinstance(feature, ClassLabel) and self.glue and set(feature.names) != set(self.classes):
            feature = None  # a copy of GLUE whose names nobody wrote down
        return class_namer(feature, self.classes if counted else ())

    def adopt(self, config: PreTrainedConfig, trains: bool) -> None:
        if not self.regression:
            self.order = model_order(self.classes, config, "" if trains else str(config.name_or_path))

    @property
    def model_fields(self) -> dict[str, Any]:
        if self.regression:
            return {"num_labels": 1, "problem_type": "regression"}
        names = {i: self.classes[which] for i, which in enumerate(self.order)}
        ids = {name: i for i, name in names.items()}
        return {"id2label": names, "label2id": ids, "problem_type": "single_label_classification"}

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        convert: Callable[[Any], Any] = float
        if not self.regression and split not in self.tests:
            ids, name = self.model_fields["label2id"], self._namer(split)
            convert = lambda label: ids[name(label)]  # noqa: E731

        def rows(batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
            texts = [[str(text) for text in batch[column]] for column in self.columns]
            padding = "max_length" if self.args.pad_to_max_length else False
            encoded = dict(tokenizer(*texts, max_length=length, truncation=True, padding=padding))
            if split in self.tests:
                return encoded
            return {**encoded, "labels": [convert(value) for value in batch[self.label_column]]}

        return self.map(split, rows)

    def _answers(self, predictions: Any) -> np.ndarray:
        """Scores or numbers of `classes`, `(examples,)`, of logits."""
        logits = predictions[0] if isinstance(predictions, tuple) else predictions
        return np.squeeze(logits, -1) if self.regression else np.array(self.order)[np.argmax(logits, -1)]

    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        answers, references = self._answers(predicted.predictions), np.asarray(predicted.label_ids)
        if not self.regression:
            references = np.array(self.order)[references]
        if self.glue:
            return glue_metrics(self.name, answers, references)
        if self.regression:
            return regression_metrics(answers, references)
        return classification_metrics(answers, references, len(self.classes))

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predict_results_TASK.txt`, a number and an answer a line, as `run_glue.py` does."""
        found = self._answers(predicted.predictions)
        answers = [f"{answer:.3f}" if self.regression else self.classes[answer] for answer in found]
        lines = ["index\tprediction", *(f"{i}\t{answer}" for i, answer in enumerate(answers))]
        name = self.name + ("-mm" if split.endswith("mismatched") else "")
        (folder / f"predict_results_{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def describe(self) -> str:
        kind = "a score" if self.regression else f"{len(self.classes)} classes"
        return f"{super().describe()}; {' and '.join(self.columns)} to {kind} ({self.label_column})"


def _number(value: Any) -> float:
    """NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def load_tables(name: str, args: TaskArguments, predict: bool = False, **hub: Any) -> DatasetDict:
    """The examples of a task: `train`, its validation splits and, to `predict`, its test splits.

    Raises:
        UserError: data that are not there, cannot be read, or cannot be downloaded; it says how to give them as files.
    """
    glue = GLUE_TASKS.get(name)
    splits = ["train", *(glue.validations if glue else ("validation",))]
    if predict:
        splits += [split.replace("validation", "test") for split in splits[1:]]
    cache_dir = hub.get("cache_dir")
    if args.train_file and args.validation_file:
        tables = _read_files(name, args, splits, cache_dir)
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
    limits = {"train": args.max_train_samples, "validation": args.max_eval_samples, "test": args.max_predict_samples}
    for split, table in tables.items():
        most = limits[split.split("_")[0]]
        tables[split] = table.select(range(min(most or len(table), len(table))))
    return DatasetDict(tables)


def _read_files(name: str, args: TaskArguments, splits: list[str], cache_dir: str | None) -> DatasetDict:
    """The files of each split; where a task has two validation sets, one file is one of them."""
    tables = DatasetDict(train=read_table(args.train_file or [], "train_file", cache_dir))
    for kind in ("validation", "test"):
        names = [split for split in splits if split.startswith(kind)]
        if names and not (given := getattr(args, f"{kind}_file")):
            raise UserError(f"{kind}_file: do_predict needs the examples to predict")
        if not names:
            continue
        files = [[path] for path in given] if len(names) > 1 else [given]
        if len(files) > len(names):
            raise UserError(f"{kind}_file: {name} has {len(names)} {kind} sets, not {len(files)}")
        for split, paths in zip(names, files, strict=False):
            tables[split] = read_table(paths, f"{kind}_file", cache_dir)
    return tables


def make_task(name: str, args: TaskArguments, predict: bool = False, **hub: Any) -> Task:
    """A task with its examples, checked.

    Args:
        name: one of `TASK_NAMES`.
        args: where its examples are.
        predict: whether there are some to predict, too.
        hub: `cache_dir` and `token` for what is downloaded.

    Raises:
        UserError: whatever there is to mend in the data.
    """
    if name in ("squad", "squad_v2", "question_answering"):
        kind: type[Task] = QuestionAnsweringTask
    else:
        kind = TokenTask if name == "token_classification" else SequenceTask
    return kind(name, args, load_tables(name, args, predict, **hub))
