"""What every task to fine-tune an encoder on has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from transformers import DataCollatorWithPadding, EvalPrediction, PreTrainedTokenizerBase

from ..errors import UserError
from .task_arguments import TaskArguments

__all__ = ["Task", "check_column"]


class Task(ABC):
    """One task with its examples, once checked.

    Attributes:
        name: as `task_name` calls it.
        tables: `train` and the validation splits.
        validations: names of these, the first of which is the main one.
        ordered: whether `metrics` needs the predictions in the order of the rows.
        main_metric: the figure that stands for the task, the greater the better.
    """

    auto: Any
    pipeline_tag: str
    main_metric: str
    max_seq_length = 128
    ordered = False

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        self.name, self.args, self.tables = name, args, tables
        self.validations = [split for split in tables if split != "train"]

    @property
    @abstractmethod
    def model_fields(self) -> dict[str, Any]:
        """Fields of the configuration that make the head fit the task."""

    @abstractmethod
    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        """Rows of ids and labels, at most `length` tokens each."""

    @abstractmethod
    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        """The figures of an evaluation."""

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:  # noqa: B027
        """That the tokenizer and the length will do.

        Raises:
            UserError: they will not.
        """

    def collator(self, tokenizer: PreTrainedTokenizerBase, multiple: int | None) -> Any:
        """What makes a batch of rows."""
        return DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)

    def save_predictions(self, folder: Path) -> None:  # noqa: B027  (most tasks have none to keep)
        """Writes what was predicted in the last evaluation, where the task has a format for it."""

    def describe(self) -> str:
        """One line for people."""
        counts = ", ".join(f"{len(table):,} {split}" for split, table in self.tables.items())
        return f"{self.name}: {counts}"

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


def check_column(table: Dataset, column: str, split: str, argument: str) -> None:
    """That a table has a column.

    Raises:
        UserError: it has not; the message names those there are.
    """
    if column not in table.column_names:
        raise UserError(
            f"the {split} data have no column {column!r}, only {', '.join(table.column_names)}: give --{argument}"
        )
