"""Classes or a score for a text or a pair of texts: GLUE's tasks and any like them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from datasets import List as ListOf
from transformers import (
    AutoModelForSequenceClassification,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import PredictionOutput

from ..errors import UserError
from ..evaluation.metrics import figures_by_class
from ..io import write_text
from .label_kinds import LabelKind, OneClass, Score, SeveralClasses
from .labels import check_column, class_namer
from .task import LoadedTask

__all__ = ["SequenceTask"]


_LAST = {1: "only_first", 2: "only_second"}  # of one text or two, that which is cut into pieces


class SequenceTask(LoadedTask):
    """One class out of several, any number of them, or a score, for a text or a pair of texts.

    Labels that are lists are any number of classes; numbers with a decimal point are scores.

    A text longer than fits is cut; with `doc_stride` it is read in pieces that share so many tokens, which are trained
    on one by one, and whose mean logits are the text's.

    Attributes:
        columns: of the text, or the two texts.
        labels: what the labels are.

    Raises:
        UserError: columns that are not there, rows without text, labels that cannot be learnt.
    """

    auto = AutoModelForSequenceClassification
    pipeline_tag = "text-classification"
    known_metrics = tuple(dict.fromkeys((*OneClass.known, *SeveralClasses.known, *Score.known)))

    def __init__(self, *given: Any, **more: Any):
        super().__init__(*given, **more)
        if not (self.args.label_column_name or self.definition.label_column):
            names = self.tables[self.first_split].column_names
            self.label_column = next((name for name in ("label", "labels") if name in names), "label")
        for split, table in self.labelled.items():
            check_column(table, self.label_column, split, "label_column_name")
        self.examples: dict[str, np.ndarray] = {}  # that each piece of a split is of
        self.columns = self._text_columns()
        self.labels = self._kind()
        for split in self.labelled:
            self._check_labels(split)
        for name in () if self.definition.compute_metrics else self.metric_names:
            if name not in self.labels.known:
                raise UserError(
                    f"task {self.name!r}: column {self.label_column!r} holds {self.labels.noun}, which have no "
                    f"{name!r}"
                )

    @property
    def usual_metrics(self) -> tuple[str, ...]:
        return self.labels.usual

    @property
    def smooths_labels(self) -> bool:
        return isinstance(self.labels, OneClass)

    def _text_columns(self) -> list[str]:
        first = self.tables[self.first_split]
        if given := self.args.text_column_names:
            columns = [name.strip() for name in given.split(",")]
        else:
            columns = list(self.definition.text_columns) or self._found_columns(first)
        if not 1 <= len(columns) <= 2:
            raise UserError(
                f"text_column_names: one or two columns, not {len(columns)}; the {self.first_split} data have "
                + ", ".join(first.column_names)
            )
        if self.label_column in columns:
            raise UserError(
                f"text_column_names: {self.label_column!r} is the column of the labels: give another, or "
                "--label_column_name"
            )
        for split, table in self.tables.items():
            for name in columns:
                check_column(table, name, split, "text_column_names", text=True)
        return columns

    def _found_columns(self, table: Dataset) -> list[str]:
        """Those of the usual names, or the only one of text."""
        for usual in (["sentence1", "sentence2"], ["text"], ["sentence"]):
            if set(usual) <= set(table.column_names):
                return usual
        texts = [name for name, kind in table.features.items() if str(getattr(kind, "dtype", "")).endswith("string")]
        # A column without a name is the index that pandas writes.
        others = (self.label_column, "id", "idx", "")
        texts = [name for name in texts if name not in others and not name.startswith("Unnamed: ")]
        if len(texts) > 1:
            raise UserError(
                f"which column of the {self.first_split} data is the text, of {', '.join(texts)}? Give "
                "--text_column_names with one, or two with a comma between"
            )
        return texts

    def _kind(self) -> LabelKind:
        """What the labels are, with the names of the classes in the order of their numbers."""
        task, table = self.definition, self.tables[self.first_split]
        feature = table.features.get(self.label_column) if self.first_split in self.labelled else None
        if isinstance(feature, ListOf) and not task.classes:
            self.classes = self._class_names(feature.feature)
            return SeveralClasses(self.classes)
        if task.classes:
            self.classes = list(task.classes)
            return OneClass(self.classes)
        kind = getattr(self.checkpoint, "problem_type", None) if feature is None else None
        if (
            task.score_range
            or kind == "regression"
            or str(getattr(feature, "dtype", "")).startswith(("float", "double"))
        ):
            return Score(*(task.score_range or (-math.inf, math.inf)))
        self.classes = self._class_names(feature)
        return SeveralClasses(self.classes) if kind == "multi_label_classification" else OneClass(self.classes)

    def _class_names(self, feature: Any) -> list[str]:
        """Of the labels of the first split, or, where they are all among them, those of the model that is used."""
        if isinstance(feature, ClassLabel):
            return list(feature.names)
        theirs = self.checkpoint_classes
        if feature is None:
            return theirs
        values = self._values(self.first_split)
        if None in values or "" in values:
            raise UserError(f"column {self.label_column!r} of the {self.first_split} data has a row without a label")
        if theirs == [f"LABEL_{i}" for i in range(len(theirs))] and set(values) <= set(range(len(theirs))):
            return [str(i) for i in range(len(theirs))]  # numbers that nobody named
        found = [str(value) for value in sorted(values)]
        spelt = {name.lower(): name for name in found}
        if spelt.keys() <= {name.lower() for name in theirs}:
            return [spelt.get(name.lower(), name) for name in theirs]
        return found

    def _values(self, split: str) -> list[Any]:
        """The different labels of a split, those in lists one by one."""
        table = self.tables[split]
        if not isinstance(table.features[self.label_column], ListOf):
            return table.unique(self.label_column)
        return list(dict.fromkeys(label for labels in table[self.label_column] for label in labels or []))

    def _check_labels(self, split: str) -> None:
        """Every label of a split can be learnt from the training data."""
        name, several = self._namer(split), isinstance(self.labels, SeveralClasses)
        values = self.tables[split][self.label_column] if several else self._values(split)
        for value in values:
            if self.labels.faulty(value, name):
                known = split == "train" or self.definition.classes or not self.classes
                unseen = "" if known else f", the labels {'of the model' if self.checkpoint else 'in training'}"
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {value!r}, not {self.labels.wanted}"
                    f"{unseen}"
                )
        if isinstance(self.labels, OneClass) and split == "train" and len(values) < 2:
            raise UserError(f"column {self.label_column!r} of the train data holds one label only, {values[0]!r}")

    def _namer(self, split: str) -> Callable[[Any], str]:
        """From a label of a split to the name of its class: a task may count them, and so may a training set."""
        known = self.definition.classes
        feature, first = (self._inner_feature(which) for which in (split, self.first_split))
        if isinstance(feature, ClassLabel) and known and set(feature.names) != set(known):
            feature = None  # a copy of the data whose names nobody wrote down
        return class_namer(feature, self.classes if known or isinstance(first, ClassLabel) else ())

    def _inner_feature(self, split: str) -> Any:
        feature = self.tables[split].features.get(self.label_column)
        return feature.feature if isinstance(feature, ListOf) else feature

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        super().check(tokenizer, length)
        room = length - tokenizer.num_special_tokens_to_add(pair=len(self.columns) == 2)
        if room < 1:
            raise UserError(f"max_seq_length={length} leaves no room for a text beside special tokens")
        if (self.args.doc_stride or 0) >= room:
            raise UserError(f"doc_stride={self.args.doc_stride} must be below {room}, the tokens of a text in a row")

    def class_counts(self) -> Counter[str]:
        if not isinstance(self.labels, OneClass) or "train" not in self.tables:
            return super().class_counts()
        return Counter(map(self._namer("train"), self.tables["train"][self.label_column]))

    def adopt(self, config: PreTrainedConfig, trains: bool) -> None:
        self.labels.adopt(config, "" if trains else str(config.name_or_path))

    @property
    def model_fields(self) -> dict[str, Any]:
        return self.labels.model_fields

    @property
    def sample(self) -> tuple[Any, Any]:
        return (self.labels.sample,) * 2

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        name = None if split in self.tests else self._namer(split)

        cut: dict[str, Any] = {"max_length": length, "truncation": True}
        if stride := self.args.doc_stride:
            cut |= {"stride": stride, "return_overflowing_tokens": True, "truncation": _LAST[len(self.columns)]}
        if self.args.pad_to_max_length:
            cut["padding"] = "max_length"

        def rows(batch: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> dict[str, Any]:
            texts = [[str(text) for text in batch[column]] for column in self.columns]
            encoded = dict(tokenizer(*texts, **cut))
            examples = encoded.pop("overflow_to_sample_mapping", range(len(indices)))
            encoded["example"] = [indices[example] for example in examples]
            if name is None:
                return encoded
            labels = [self.labels.encode(value, name) for value in batch[self.label_column]]
            return {**encoded, "labels": [labels[example] for example in examples]}

        table = self.map(split, rows, with_indices=True)
        if self.args.doc_stride:
            self.examples[split] = np.asarray(table["example"])
        return table.remove_columns("example")

    def metrics(self, predicted: EvalPrediction, split: str | None = None) -> dict[str, float]:
        split = split or self.validations[0]
        answers = self.labels.answers(self._logits(split, predicted.predictions))
        references = self.labels.references(self._by_example(split, np.asarray(predicted.label_ids)))
        if self.classes:
            self.by_class[split] = figures_by_class(answers, references, self.labels.classes)
        found = (self.definition.compute_metrics or self.labels.figures)(answers, references)
        return {name: float(found[name]) for name in self.metric_names}

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predict_results_TASK.txt`, a number and an answer a line, as `run_glue.py` does; and of classes, as JSON
        lines, `predict_probabilities_TASK.jsonl`."""
        logits = self._logits(split, predicted.predictions)
        answers = [self.labels.written(answer) for answer in self.labels.answers(logits)]
        lines = ["index\tprediction", *(f"{i}\t{answer}" for i, answer in enumerate(answers))]
        name = self.name + self.definition.validations[split.replace("test", "validation", 1)].replace("_", "-")
        write_text(folder / f"predict_results_{name}.txt", "\n".join(lines) + "\n")
        if self.definition.submission is not None:
            self._save_submission(split, logits, folder)
        if (probabilities := self.labels.probabilities(logits)) is not None:
            rows = (dict(zip(self.labels.classes, map(float, row), strict=True)) for row in probabilities)
            text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
            write_text(folder / f"predict_probabilities_{name}.jsonl", text)

    @property
    def positive_class(self) -> str | None:
        return self.classes[1] if isinstance(self.labels, OneClass) and len(self.classes) == 2 else None

    def _save_submission(self, split: str, logits: np.ndarray, folder: Path) -> None:
        """The file that the task's leaderboard takes, `SST-2.tsv` say."""
        submission, answers = self.definition.submission, self.labels.answers(logits)
        if submission is None or split not in submission.files:
            return
        if not self.classes:
            answers = answers.clip(*(self.definition.score_range or (None, None)))
        shown = map(str, answers) if self.classes and submission.numbers else map(self.labels.written, answers)
        lines = ["index\tprediction", *(f"{i}\t{answer}" for i, answer in enumerate(shown))]
        write_text(folder / submission.files[split], "\n".join(lines) + "\n")

    def _logits(self, split: str, predictions: Any) -> np.ndarray:
        """Of each example, `(examples, classes)`: the mean over its pieces."""
        return self._by_example(split, np.asarray(predictions[0] if isinstance(predictions, tuple) else predictions))

    def _by_example(self, split: str, values: np.ndarray) -> np.ndarray:
        """The means of what each piece of a text has, `(pieces, ...)`; as they are where no text was cut into such."""
        if (examples := self.examples.get(split)) is None:
            return values
        sums = np.zeros((examples[-1] + 1, *values.shape[1:]))
        np.add.at(sums, examples, values)
        means = sums / np.bincount(examples).reshape(-1, *(1,) * (values.ndim - 1))
        return means.astype(values.dtype)

    @property
    def usage(self) -> str:
        usage = super().usage
        if not self.classes:
            usage = usage.replace('"CHECKPOINT"', '"CHECKPOINT", function_to_apply="none"')
        if len(self.columns) == 2:
            usage = usage.replace('"a sentence"', '{"text": "one sentence", "text_pair": "and another"}')
        return usage

    def describe(self) -> str:
        return f"{super().describe()}; {' and '.join(self.columns)} to {self.labels}, column {self.label_column!r}"
