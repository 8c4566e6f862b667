"""The columns of examples, and the names of the classes that their labels stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datasets import ClassLabel, Dataset
from transformers import PreTrainedConfig

from ..errors import UserError

__all__ = ["check_column", "class_namer", "model_order"]


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
    """What turns a label of a column, of this `feature`, into the name of its class; numbers that the column itself
    does not name stand for those that are `known`."""
    names = feature.names if isinstance(feature, ClassLabel) else known

    def name(label: Any) -> str:
        return names[label] if isinstance(label, int) and 0 <= label < len(names) else str(label)

    return name


def model_order(names: Sequence[str], config: PreTrainedConfig, argument: str = "") -> list[int]:
    """Which of `names` each class of a checkpoint's head is: its own order, if its classes have the same names.

    Raises:
        UserError: with `argument`, the checkpoint, its head is taken as it is, and has classes of other names. Those
            that nobody named, LABEL_0 and so on, are no others.
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
