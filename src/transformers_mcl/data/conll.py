"""Words and their tags in columns, a word a line and a blank line between sentences: the files of CoNLL's tasks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..errors import UserError
from .forms import COMPRESSIONS, Form
from .opening import explained
from .parts import Part, Place, open_parts, sound_rows
from .rows import BadRow, Row, lines
from .table_arguments import TableArguments

__all__ = ["is_conll", "read_conll"]

_ENDING = re.compile(r"\.(conll|bio|iob2?)(\.(gz|bz2|xz|zst))?$", re.IGNORECASE)
_DOCUMENT = "-DOCSTART-"


def is_conll(path: str, file_format: str = "auto") -> bool:
    """Whether a file is one of these by its name: `.conll`, `.bio`, `.iob` or `.iob2`, also compressed; or as
    `file_format` says, unless that is `auto`."""
    return file_format == "conll" or (file_format == "auto" and bool(_ENDING.search(path)))


def read_conll(path: str, how: TableArguments | None = None) -> Iterator[tuple[Place, Row]]:
    """The sentences of a file: `tokens`, its first column, and `ner_tags`, its last one, unless it has one only.

    Columns are separated by tabs, or where the first line has none by spaces. Lines of other columns are comments if
    they begin with `#`; those of `-DOCSTART-` are left out.

    Raises:
        UserError: it cannot be read, or a line has more or fewer columns than the first.
    """
    form = Form("text", COMPRESSIONS.get(os.path.splitext(path)[1].lower(), ""))
    with explained(path, form):
        for part in open_parts(path, form, column="\0"):
            try:
                yield from sound_rows(_sentences(part), (how or TableArguments()).text_errors)
            except BadRow as error:
                raise UserError(f"{part.place(*error.where)}: {error}") from error


def _sentences(part: Part) -> Iterator[tuple[Place, Row]]:
    numbered = [(number, text) for number, (_, text) in enumerate(lines(part.file), 1)]
    first = next((text for _, text in numbered if _is_word(text) and not text.startswith("#")), "")
    separator = "\t" if "\t" in first else None
    width, begun, words = len(first.split(separator)), 0, list[list[str]]()
    for number, text in [*numbered, (0, "")]:
        if _is_word(text):
            columns = text.split(separator)
            if len(columns) == width:
                begun = begun if words else number
                words.append([columns[0], columns[-1].strip()])
            elif not text.startswith("#"):
                raise BadRow(("line", number), f"{len(columns)} columns, and the first line has {width}")
        elif words:
            row: Row = {"tokens": [word for word, _ in words]}
            yield part.place("line", begun), row | ({"ner_tags": [tag for _, tag in words]} if width > 1 else {})
            words = []


def _is_word(text: str) -> bool:
    return bool(text.strip()) and not text.startswith(_DOCUMENT)
