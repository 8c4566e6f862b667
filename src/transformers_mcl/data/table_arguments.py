"""How files of labelled examples are read, for all commands that take such."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import check_name

__all__ = ["TEXT_ERRORS", "TableArguments"]

TEXT_ERRORS = ("replace", "skip", "strict")
_FORMATS = ("auto", "json", "csv", "tsv", "parquet", "arrow", "conll")


@dataclass(kw_only=True)  # so that what has these fields, too, keeps the order of its own
class TableArguments:
    """What files of rows hold; names as `pretrain` has them for text.

    Raises:
        UserError: a value that cannot be.
    """

    file_format: Literal["auto", "json", "csv", "tsv", "parquet", "arrow", "conll"] = field(
        default="auto", metadata={"help": "What the files hold; auto: what the endings of their names say."}
    )
    text_errors: Literal["replace", "skip", "strict"] = field(
        default="replace",
        metadata={
            "help": "Bytes that are not UTF-8, and half surrogates: replaced by U+FFFD, their rows passed over, or "
            "refused."
        },
    )

    def __post_init__(self) -> None:
        check_name("file_format", self.file_format, _FORMATS)
        check_name("text_errors", self.text_errors, TEXT_ERRORS)
