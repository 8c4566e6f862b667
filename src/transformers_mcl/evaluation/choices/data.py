"""Choices from files: a context, the options to go on, and the number of the right one, in each row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ...data.files import find_files
from ...data.parts import read_table_rows
from ...data.table_arguments import TableArguments
from ...errors import UserError
from ...ranges import check_numbers
from ..minimal_pairs.data import sample_pairs

__all__ = ["Choice", "ChoicesArguments", "Normalization", "load_choices"]

Normalization = Literal["sum", "tokens", "characters"]


class Choice(NamedTuple):
    """A context and how it may go on.

    Attributes:
        context: what stands before each option; it may be empty.
        options: of which one is right.
        label: its number, from 0.
        paradigm: which kind of choice it is; choices are sampled and reported by it.
        place: where it stands, for messages.
    """

    context: str
    options: tuple[str, ...]
    label: int
    paradigm: str = "choices"
    place: str = ""


@dataclass
class ChoicesArguments(TableArguments):
    """Which choices, how they are read, and what a score is divided by.

    Raises:
        UserError: a `limit` that is neither a share nor a number, or a right option that has no number.
    """

    choices_file: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Files of choices: JSON lines or parquet, compressed or not; globs and directories are fine."
        },
    )
    context_column: str = field(default="context", metadata={"help": "Column of the contexts."})
    options_column: str = field(default="options", metadata={"help": "Column of the lists of options."})
    label_column: str = field(default="label", metadata={"help": "Column of the right option's number, from 0."})
    right_option: int | None = field(
        default=None,
        metadata={"help": "The number of the right option where no column has it; in BabyLM's entity tracking 0."},
    )
    group_column: str | None = field(
        default=None, metadata={"help": "Column to group by. Default: each file is a group."}
    )
    separator: str = field(
        default=" ", metadata={"help": "Between context and option, unless one of them has a space there."}
    )
    normalization: Normalization = field(
        default="sum",
        metadata={
            "help": "An option's score is the sum over its tokens; or that divided by their number, or by that of its "
            "characters, so that a long option has no more to lose."
        },
    )
    limit: float | None = field(
        default=None, metadata={"help": "Of each group a random sample: a share if below 1, else a number of choices."}
    )
    seed: int = field(default=42, metadata={"help": "Seed of that sample."})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self)


def load_choices(args: ChoicesArguments) -> list[Choice]:
    """The choices of the files, or a sample of them, in the order in which they stand there.

    Raises:
        UserError: a file is missing, unreadable or without choices; a row is none, and where it stands.
    """
    if not args.choices_file:
        raise UserError("choices_file: give files of choices, with the columns context, options and label")
    choices = [choice for path in find_files(args.choices_file, "choices_file") for choice in _from_file(path, args)]
    return choices if args.limit is None else sample_pairs(choices, args.limit, args.seed)


def _from_file(path: str, args: ChoicesArguments) -> list[Choice]:
    group = os.path.basename(path).split(".")[0]
    try:
        found = [_to_choice(row, str(place), group, args) for place, row in read_table_rows(path, args)]
    except UserError as error:
        raise UserError(f"choices_file: {error}") from error
    if not found:
        raise UserError(f"choices_file: no choices in {path!r}")
    return found


def _to_choice(row: Mapping[str, Any], place: str, group: str, args: ChoicesArguments) -> Choice:
    context, options, label = (row.get(name) for name in (args.context_column, args.options_column, args.label_column))
    if args.right_option is not None:
        label = args.right_option
    if not isinstance(context, str):
        raise _wrong(row, place, "context_column", args.context_column, "a text")
    if (
        not isinstance(options, list | tuple)
        or len(options) < 2
        or not all(isinstance(option, str) and option.strip() for option in options)
    ):
        raise _wrong(row, place, "options_column", args.options_column, "a list of two or more texts")
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(options):
        wanted = f"the number of one of its {len(options)} options, from 0; --right_option says it for all rows"
        raise _wrong(row, place, "label_column", args.label_column, wanted)
    if args.group_column is not None:
        if args.group_column not in row:
            raise _wrong(row, place, "group_column", args.group_column, "a group")
        group = str(row[args.group_column])
    return Choice(context, tuple(options), label, group, place)


def _wrong(row: Mapping[str, Any], place: str, argument: str, column: str, wanted: str) -> UserError:
    if column not in row:
        return UserError(f"{place}: there is no column {column!r} ({argument}), only {', '.join(row)}")
    return UserError(f"{place}: {column} holds {row[column]!r}, not {wanted}")
