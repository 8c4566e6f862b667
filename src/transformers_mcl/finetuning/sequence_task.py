"""Classes or a score for a text or a pair of texts: GLUE's tasks and any like them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from transformers import (
    AutoModelForSequenceClassification,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import PredictionOutput

from ..errors import UserError
from ..evaluation.metrics import classification_metrics, regression_metrics
from .labels import check_column, class_namer, model_order
from .task import LoadedTask

__all__ = ["SequenceTask"]


_OF_CLASSES = ("accuracy", "f1", "matthews_correlation")
_OF_SCORES = ("spearmanr", "pearson", "mse")


class SequenceTask(LoadedTask):
    """Classes or a score for a text or a pair of texts.

    Raises:
        UserError: columns that are not there, rows without text, labels that cannot be learnt.
    """

    auto = AutoModelForSequenceClassification
    pipeline_tag = "text-classification"
    known_metrics = (*_OF_CLASSES, *_OF_SCORES)

    def __init__(self, *given: Any, **more: Any):
        super().__init__(*given, **more)
        for split, table in self.labelled.items():
            check_column(table, self.label_column, split, "label_column_name")
        self.columns = self._text_columns()
        self.classes = self._classes()
        self.order = list(range(len(self.classes)))  # of the head's classes, which a checkpoint may have in another
        self.regression = not self.classes
        for split in self.labelled:
            self._check_labels(split)
        fitting = _OF_SCORES if self.regression else _OF_CLASSES
        for name in () if self.definition.compute_metrics else self.metric_names:
            if name not in fitting:
                kind = "scores" if self.regression else "classes"
                raise UserError(
                    f"task {self.name!r}: column {self.label_column!r} holds {kind}, which have no {name!r}"
                )

    @property
    def usual_metrics(self) -> tuple[str, ...]:
        return _OF_SCORES if self.regression else ("accuracy", "f1")

    def _text_columns(self) -> list[str]:
        train = self.tables["train"]
        if given := self.args.text_column_names:
            columns = [name.strip() for name in given.split(",")]
        elif self.definition.text_columns:
            columns = list(self.definition.text_columns)
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
        if self.definition.classes:
            return list(self.definition.classes)
        if self.definition.score_range or floats:
            return []
        if isinstance(feature, ClassLabel):
            return list(feature.names)
        values = self.tables["train"].unique(self.label_column)
        if None in values or "" in values:
            raise UserError(f"column {self.label_column!r} of the train data has a row without a label")
        return [str(value) for value in sorted(values)]

    def _check_labels(self, split: str) -> None:
        """Every label of a split can be learnt from the training data."""
        values, name = self.tables[split].unique(self.label_column), self._namer(split)
        least, most = self.definition.score_range or (-math.inf, math.inf)
        wanted = f"one of {', '.join(self.classes[:20])}"
        if self.regression:
            wanted = "a number" if math.isinf(most - least) else f"a number from {least} to {most}"
        for value in values:
            score = _number(value)
            if not (
                math.isfinite(score) and least <= score <= most if self.regression else name(value) in self.classes
            ):
                known = split == "train" or self.definition.classes or self.regression
                unseen = "" if known else ", the labels in training"
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {value!r}, not {wanted}{unseen}"
                )
        if not self.regression and split == "train" and len(values) < 2:
            raise UserError(f"column {self.label_column!r} of the train data holds one label only, {values[0]!r}")

    def _namer(self, split: str) -> Callable[[Any], str]:
        """From a label of a split to the name of its class: a task may count them, and so may a training set."""
        known = self.definition.classes
        counted = known or isinstance(self.tables["train"].features[self.label_column], ClassLabel)
        feature = self.tables[split].features[self.label_column]
        if isinstance(feature, ClassLabel) and known and set(feature.names) != set(known):
            feature = None  # a copy of the data whose names nobody wrote down
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

    @property
    def sample(self) -> tuple[Any, Any]:
        return (np.arange(2.0) if self.regression else np.arange(len(self.classes)),) * 2

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
        if compute := self.definition.compute_metrics:
            found = compute(answers, references)
        elif self.regression:
            found = regression_metrics(answers, references)
        else:
            found = classification_metrics(answers, references, len(self.classes))
        return {name: float(found[name]) for name in self.metric_names}

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predict_results_TASK.txt`, a number and an answer a line, as `run_glue.py` does."""
        found = self._answers(predicted.predictions)
        answers = [f"{answer:.3f}" if self.regression else self.classes[answer] for answer in found]
        lines = ["index\tprediction", *(f"{i}\t{answer}" for i, answer in enumerate(answers))]
        suffix = self.definition.validations[split.replace("test", "validation", 1)]
        name = self.name + suffix.replace("_", "-")
        (folder / f"predict_results_{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def usage(self) -> str:
        usage = super().usage
        if self.regression:
            usage = usage.replace('"CHECKPOINT"', '"CHECKPOINT", function_to_apply="none"')
        if len(self.columns) == 2:
            usage = usage.replace('"a sentence"', '{"text": "one sentence", "text_pair": "and another"}')
        return usage

    def describe(self) -> str:
        kind = "a score" if self.regression else f"{len(self.classes)} classes"
        return f"{super().describe()}; {' and '.join(self.columns)} to {kind} ({self.label_column})"


def _number(value: Any) -> float:
    """NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
