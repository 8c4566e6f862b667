"""Where the examples of a split came from, which is all that a card may say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Source"]

_SHOWN_FILES = 3


@dataclass(frozen=True)
class Source:
    """What was loaded as one split, and how much of it is used.

    Attributes:
        rows: the examples used, the first ones.
        total: the examples there are.
        dataset_name, config, split: on the Hub, if they came from there.
        files: else the names of the files, with that of their folder only where a folder was given.
    """

    rows: int
    total: int
    dataset_name: str | None = None
    config: str | None = None
    split: str | None = None
    files: tuple[str, ...] = ()

    def first(self, most: int | None) -> Source:
        """The same of which at most so many rows are used."""
        return replace(self, rows=min(most or self.total, self.total))

    def part(self, rows: int, which: str) -> Source:
        """So many rows of the same, drawn at random; `which` says what part of it they are, for people."""
        if self.dataset_name is not None:
            return replace(self, rows=rows, total=rows, split=f"{self.split} ({which})")
        return replace(self, rows=rows, total=rows, files=(f"{self.place} ({which})",))

    @property
    def place(self) -> str:
        """The files' names; or of the Hub `cola of nyu-mll/glue, split validation`."""
        if self.dataset_name is not None:
            return f"{f'{self.config} of ' if self.config else ''}{self.dataset_name}, split {self.split}"
        more = len(self.files) - _SHOWN_FILES
        return ", ".join(self.files[:_SHOWN_FILES]) + (f" and {more:,} more files" if more > 0 else "")

    @property
    def split_used(self) -> str | None:
        """The split on the Hub, with what is used of it as `datasets` writes it: `validation[:64]`."""
        whole = self.split is None or self.rows == self.total
        return self.split if whole else f"{self.split}[:{self.rows}]"

    def __str__(self) -> str:
        count = f"{self.rows:,} rows" if self.rows == self.total else f"the first {self.rows:,} of {self.total:,} rows"
        return f"{count} of {self.place}"
