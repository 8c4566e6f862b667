"""What every task to fine-tune an encoder on has in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict
from transformers import DataCollatorWithPadding, EvalPrediction, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.trainer_utils import PredictionOutput

from ..errors import UserError
from .arguments import TaskArguments

__all__ = ["Task", "check_column", "class_namer", "model_order"]


class Task(ABC):
    """One task with its examples, once checked.

    Attributes:
        name: as `task_name` calls it.
        tables: `train`, the validation splits, and those to predict.
        validations: names of the validation splits, the first of which is the main one.
        tests: names of the splits to predict, whose labels are not looked at.
        ordered: whether predictions are needed in the order of the rows.
        main_metric: the figure that stands for the task, the greater the better.
        metric_names: all figures, but the loss.
    """

    auto: Any
    pipeline_tag: str
    main_metric: str
    metric_names: tuple[str, ...]
    max_seq_length = 128
    ordered = False

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        self.name, self.args, self.tables = name, args, tables
        self.validations = [split for split in tables if split.startswith("validation")]
        self.tests = [split for split in tables if split.startswith("test")]

    @property
    def labelled(self) -> dict[str, Dataset]:
        """The tables that have labels: all but those to predict."""
        return {split: table for split, table in self.tables.items() if split not in self.tests}

    @property
    @abstractmethod
    def model_fields(self) -> dict[str, Any]:
        """Fields of the configuration that make the head fit the task."""

    @abstractmethod
    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        """Rows of ids and, but for a split to predict, labels, at most `length` tokens each."""

    @abstractmethod
    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        """The figures of an evaluation."""

    @abstractmethod
    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """Writes what the model says of a split to predict."""

    def adopt(self, config: PreTrainedConfig, trains: bool) -> None:  # noqa: B027
        """Takes over the order of the classes of a checkpoint that was fine-tuned on the same ones.

        Raises:
            UserError: it names other classes, and is not to be trained.
        """

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        """That the tokenizer and the length will do.

        Raises:
            UserError: they will not.
        """
        if tokenizer.pad_token is None:
            raise UserError(f"the tokenizer {tokenizer.name_or_path!r} has no pad_token: batches cannot be made")

    def collator(self, tokenizer: PreTrainedTokenizerBase, multiple: int | None) -> Any:
        """What makes a batch of rows."""
        return DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)

    def save_predictions(self, folder: Path) -> None:  # noqa: B027  (most tasks have none to keep)
        """Writes what was predicted in the last evaluation, where the task has a format for it."""

    def describe(self) -> str:
        """One line for people."""
        counts = ", ".join(f"{len(table):,} {split}" for split, table in self.tables.items())
        return f"{self.name}: {counts}"

    def digest(self) -> str:
        """Stands for the examples, wherever their files lie: the number of those to train on, and a hash of all."""
        found = hashlib.sha256()
        for split, table in self.tables.items():
            found.update(split.encode())
            for batch in table.with_format("arrow").iter(10_000):
                found.update(repr(batch.to_pydict()).encode())
        return f"{len(self.tables['train']):,}, {found.hexdigest()[:12]}"

    def map(self, split: str, encode: Callable[..., Any], with_indices: bool = False) -> Dataset:
        """`encode` over a split's columns, whose own are dropped."""
        table, workers = self.tables[split], self.args.preprocessing_num_workers
        return table.map(
            encode,
            batched=True,
            remove_columns=table.column_names,
            num_proc=min(workers, len(table)) if workers else None,
            desc=f"Tokenizing {self.name} {split}",
            with_indices=with_indices,
        )


def check_column(table: Dataset, column: str, split: str, argument: str, text: bool = False) -> None:
    """That a table has a column and, if it is one of text, that no row of it is null.

    Raises:
        UserError: it has not; the message names those there are.
    """
    if column not in table.column_names:
        raise UserError(
            f"the {split} data have no column {column!r}, only {', '.join(table.column_names)}: give --{argument}"
        )
    if text and None in table.unique(column):
        raise UserError(f"column {column!r} of the {split} data has a row without text")


def class_namer(feature: Any, known: Sequence[str] = ()) -> Callable[[Any], str]:
    """What turns a label of a column into the name of its class.

    Args:
        feature: of the column; a `ClassLabel` counts the names it has.
        known: names that numbers stand for, where the column itself does not say.
    """
    names = feature.names if isinstance(feature, ClassLabel) else known

    def name(label: Any) -> str:
        return names[label] if isinstance(label, int) and 0 <= label < len(names) else str(label)

    return name


def model_order(names: Sequence[str], config: PreTrainedConfig, argument: str = "") -> list[int]:
    """Which of `names` each class of a checkpoint's head is: its own order, if its classes have the same names.

    Args:
        argument: the checkpoint, if its head is to be taken as it is.

    Raises:
        UserError: it is, and its classes have other names. Those that nobody named, LABEL_0 and so on, are no others.
    """
    theirs = [str(name).lower() for _, name in sorted((config.id2label or {}).items())]
    ours = [name.lower() for name in names]
    if sorted(theirs) == sorted(ours) and len(set(ours)) == len(ours):
        return [ours.index(name) for name in theirs]
    if argument and theirs != [f"label_{i}" for i in range(len(ours))]:
        raise UserError(
            f"model_name_or_path {argument!r} has the classes {', '.join(theirs[:20])}, but the data have "
            f"{', '.join(names[:20])}: without do_train they must be the same"
        )
    return list(range(len(ours)))
