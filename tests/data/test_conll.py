"""Words and tags in columns, as CoNLL's tasks have them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from transformers_mcl.data.tables import read_table
from transformers_mcl.errors import UserError

ANNA = {"tokens": ["Anna", "lives"], "ner_tags": ["B-PER", "O"]}
HASH = {"tokens": ["#", "1"], "ner_tags": ["O", "O"]}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Anna B-PER\nlives O\n\n# O\n1 O\n", [ANNA, HASH]),
        ("Anna\tB-PER\r\nlives\tO\r\n\r\n\r\n#\tO\r\n1\tO", [ANNA, HASH]),
        ("-DOCSTART- -X- -X- O\n\nAnna NNP B-NP B-PER\nlives VBZ B-VP O\n", [ANNA]),
        ("# a comment of any length\nAnna\tB-PER\nlives\tO\n \n# another\n#\tO\n1\tO\n", [ANNA, HASH]),
        ("New York\tB-LOC\n", [{"tokens": ["New York"], "ner_tags": ["B-LOC"]}]),
        ("Anna\nlives\n", [{"tokens": ["Anna", "lives"]}]),
    ],
)
def test_sentences(text: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    for name in ("a.conll", "a.bio", "a.iob2"):
        (tmp_path / name).write_text(text, newline="", encoding="utf-8")
        assert read_table([str(tmp_path / name)], "train_file").to_list() == rows
    with gzip.open(tmp_path / "a.conll.gz", "wt", newline="", encoding="utf-8") as file:
        file.write(text)
    assert read_table([str(tmp_path / "a.conll.gz")], "train_file").to_list() == rows


def test_a_line_with_other_columns(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Anna B-PER\n\nlives\n")
    with pytest.raises(UserError, match=r"train_file: .*a.conll', line 3: 1 columns, and the first line has 2"):
        read_table([str(tmp_path / "a.conll")], "train_file")
