"""Minimal pairs: BLiMP from the Hub, or any file with an acceptable and an unacceptable sentence in each row."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from datasets import get_dataset_config_names, load_dataset

from ...data.files import find_files
from ...data.opening import READ_ERRORS
from ...data.parts import read_table_rows
from ...data.table_arguments import TableArguments
from ...errors import UserError
from ...io import one_line
from ...ranges import check_numbers

__all__ = ["BLIMP", "Pair", "PairSet", "PairsArguments", "load_pairs", "sample_pairs"]


class Pair(NamedTuple):
    """Two sentences that differ as little as can be.

    Attributes:
        good, bad: the acceptable sentence, and the one that is not.
        paradigm: which kind of difference it is; pairs are sampled and reported by it.
        field, linguistics_term: the wider groups that the paradigm is part of, where the data name them.
        place: where the pair stands, for messages: `"'pairs.jsonl', line 3"`.
    """

    good: str
    bad: str
    paradigm: str = "pairs"
    field: str | None = None
    linguistics_term: str | None = None
    place: str = ""


@dataclass(frozen=True)
class PairSet:
    """A set of minimal pairs: where it is, and which columns hold what.

    Attributes:
        title: what people call it.
        dataset_name: where it is on the Hub; all its configurations count.
        split: the split there.
        pairs_file: else its files, as in `PairsArguments`.
        sentence_good_column, sentence_bad_column: of the two sentences.
        paradigm_columns: of which the first that is there says the paradigm; else each configuration or file is one.
        field_column, linguistics_term_column: of wider groups, if they are there.
    """

    title: str
    dataset_name: str | None = None
    split: str = "train"
    pairs_file: tuple[str, ...] = ()
    sentence_good_column: str = "sentence_good"
    sentence_bad_column: str = "sentence_bad"
    paradigm_columns: tuple[str, ...] = ("UID", "paradigm")
    field_column: str = "field"
    linguistics_term_column: str = "linguistics_term"

    def __post_init__(self) -> None:
        if bool(self.dataset_name) == bool(self.pairs_file):
            raise UserError(f"the pairs {self.title!r} must have a dataset_name on the Hub, or files as pairs_file")

    @property
    def source(self) -> str:
        """Where it is, for people: a name on the Hub, or files without their folders."""
        return self.dataset_name or ", ".join(os.path.basename(path) for path in self.pairs_file)


BLIMP = PairSet("BLiMP", dataset_name="nyu-mll/blimp")
"""Of Warstadt et al. 2020: 67 paradigms of 1,000 pairs each."""


@dataclass
class PairsArguments(TableArguments):
    """Which pairs, and how many of them.

    Raises:
        UserError: a `limit` that is neither a share nor a number.
    """

    pairs_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Files of pairs: JSON, CSV, TSV or parquet, compressed or not; globs and directories are fine. "
            "By default those of the task: BLiMP, from the Hub."
        },
    )
    limit: float | None = field(
        default=None,
        metadata={"help": "Of each paradigm a random sample: a share if below 1, else a number of pairs."},
    )
    seed: int = field(default=42, metadata={"help": "Seed of that sample."})
    sentence_good_column: str | None = field(
        default=None, metadata={"help": "Column of acceptable sentences. Default: sentence_good."}
    )
    sentence_bad_column: str | None = field(
        default=None, metadata={"help": "Column of unacceptable sentences. Default: sentence_bad."}
    )
    paradigm_column: str | None = field(
        default=None,
        metadata={"help": "Column to group by. Default: UID or paradigm if there is one; else each file is a group."},
    )
    field_column: str | None = field(
        default=None, metadata={"help": "Column of a wider group. Default: field, if there is one."}
    )
    linguistics_term_column: str | None = field(
        default=None, metadata={"help": "Column of another. Default: linguistics_term, if there is one."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self)


def load_pairs(args: PairsArguments, cache_dir: str | None = None, pair_set: PairSet = BLIMP) -> list[Pair]:
    """The pairs of the files that `args` names, else of `pair_set`, or a sample of them, in the order in which they
    stand there. Columns that `args` names go before the set's. `datasets` keeps what it has read in `cache_dir`.

    Raises:
        UserError: a file is missing, unreadable or without pairs; a column is not there, or holds no text; the Hub
            does not give the set.
    """
    files = args.pairs_file or list(pair_set.pairs_file)
    if files:
        paths = find_files(files, "pairs_file")
        pairs = [pair for path in paths for pair in _from_file(path, args, pair_set)]
    else:
        pairs = _from_hub(args, cache_dir, pair_set)
    return pairs if args.limit is None else sample_pairs(pairs, args.limit, args.seed)


class _Sampled(Protocol):
    @property
    def paradigm(self) -> str: ...


T = TypeVar("T", bound=_Sampled)


def sample_pairs(pairs: Iterable[T], limit: float, seed: int = 42) -> list[T]:
    """Of every paradigm a share (`limit` < 1; at least one pair) or a number of pairs, in their order.

    What is drawn from a paradigm does not depend on the other paradigms.
    """
    groups: dict[str, list[T]] = {}
    for pair in pairs:
        groups.setdefault(pair.paradigm, []).append(pair)
    sample = []
    for paradigm, group in groups.items():
        count = max(round(limit * len(group)), 1) if limit < 1 else min(int(limit), len(group))
        chosen = random.Random(f"{seed} {paradigm}").sample(range(len(group)), count)
        sample += [group[i] for i in sorted(chosen)]
    return sample


def _from_hub(args: PairsArguments, cache_dir: str | None, pair_set: PairSet) -> list[Pair]:
    hub: Any = pair_set.dataset_name
    try:
        names = sorted(get_dataset_config_names(hub))
        tables = [load_dataset(hub, name, split=pair_set.split, cache_dir=cache_dir) for name in names]
    except READ_ERRORS as error:
        raise UserError(f"the Hub gave no {hub}: {one_line(error)}; give its files with --pairs_file") from error
    return [
        pair
        for name, table in zip(names, tables, strict=True)
        for pair in _to_pairs(
            [(f"row {number} of {hub}, {name}", row) for number, row in enumerate(table.to_list(), 1)],
            f"{hub}, {name}",
            name,
            args,
            pair_set,
        )
    ]


def _from_file(path: str, args: PairsArguments, pair_set: PairSet) -> list[Pair]:
    try:
        rows = [(str(place), row) for place, row in read_table_rows(path, args)]
    except UserError as error:
        raise UserError(f"pairs_file: {error}") from error
    return _to_pairs(rows, repr(path), os.path.basename(path).split(".")[0], args, pair_set)


def _to_pairs(
    rows: Sequence[tuple[str, Mapping[str, Any]]], source: str, group: str, args: PairsArguments, pair_set: PairSet
) -> list[Pair]:
    """`rows` with their places; `group` is the paradigm where no column says so."""
    if not rows:
        raise UserError(f"pairs_file: no pairs in {source}")
    good, bad, paradigm, wider, term = _columns(rows[0][1], source, args, pair_set)
    pairs = []
    for place, row in rows:
        for column in (good, bad):
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise UserError(f"{place}: {column} holds {row.get(column)!r}, not a sentence")
        field = _text(row, wider, "").replace("/", "_") or None  # BLiMP writes one field in two ways
        name = _text(row, paradigm, group)
        pairs.append(Pair(row[good], row[bad], name, field, _text(row, term, "") or None, place))
    return pairs


def _text(row: Mapping[str, Any], column: str | None, default: str) -> str:
    return default if column is None or row.get(column) is None else str(row[column])


def _columns(row: Mapping[str, Any], source: str, args: PairsArguments, pair_set: PairSet) -> list[Any]:
    """The columns of `Pair`'s first five fields; None where there is none, and none is needed."""
    usual = {
        "sentence_good_column": (pair_set.sentence_good_column,),
        "sentence_bad_column": (pair_set.sentence_bad_column,),
        "paradigm_column": pair_set.paradigm_columns,
        "field_column": (pair_set.field_column,),
        "linguistics_term_column": (pair_set.linguistics_term_column,),
    }
    found = []
    for name, columns in usual.items():
        asked = getattr(args, name)
        found.append(next((column for column in ((asked,) if asked else columns) if column in row), None))
        if found[-1] is None and (asked or name.startswith("sentence")):
            raise UserError(f"{name}: {source} has no column {asked or columns[0]!r}, only {', '.join(row)}")
    return found
