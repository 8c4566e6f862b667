"""Equal documents are found, counted and left out, and none that is held out is trained on unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from transformers_mcl.data import DataArguments, load_corpus
from transformers_mcl.data.duplicates import first_of_each, hash_documents, hash_text
from transformers_mcl.errors import UserError


def write(folder: Path, name: str, *texts: str) -> str:
    (folder / name).write_text("\n".join(texts) + "\n")
    return str(folder / name)


def read(folder: Path, **values: Any) -> dict[str, list[str]]:
    corpus = load_corpus(DataArguments(document_separator="line", **values), cache_dir=str(folder / "cache"))
    return {split: list(table["text"]) for split, table in corpus.items()}


def test_only_spaces_may_differ() -> None:
    assert hash_text("a fox  jumped\n") == hash_text(" a fox\tjumped")
    assert len({hash_text(text) for text in ("a fox", "A fox", "afox", "a fox.", "a f\ud800ox", "")}) == 6


def test_a_hash_is_eight_bytes() -> None:
    texts = [f"document {number}" for number in range(2000)]
    hashes = hash_documents(Dataset.from_dict({"text": texts}), DataArguments(preprocessing_num_workers=2))
    assert hashes.dtype == np.int64 and hashes.tolist() == [hash_text(text) for text in texts]


def test_the_first_of_each_is_kept() -> None:
    parts = [np.array([1, 2, 1, 3]), np.array([], dtype=np.int64), np.array([4, 3, 5, 4])]
    assert [kept.tolist() for kept in first_of_each(parts, np.array([5]))] == [[0, 1, 3], [], [0]]


@pytest.mark.parametrize("as_train", ["same.txt", "copy.txt"])
def test_held_out_text_that_is_trained_on_is_said(
    tmp_path: Path, said: pytest.LogCaptureFixture, as_train: str
) -> None:
    held_out = write(tmp_path, "same.txt", "one", "two", "three", "four")
    train = [write(tmp_path, "other.txt", "five", "six"), write(tmp_path, as_train, "one", "two", "three", "four")]
    read(tmp_path, train_file=train, validation_file=[held_out])
    assert "4 of 4 held-out documents (100.00%) also stand in the training text" in said.text
    said.clear()
    read(tmp_path, train_file=[write(tmp_path, "apart.txt", "five", " two ", "six")], validation_file=[held_out])
    assert "1 of 4 held-out documents (25.00%)" in said.text
    said.clear()
    read(tmp_path, train_file=[write(tmp_path, "apart.txt", "five", "six")], validation_file=[held_out])
    assert not said.text


def test_duplicates_are_left_out_before_documents_are_held_out(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "a.txt", *(f"document {number % 50}" for number in range(200)))
    values: dict[str, Any] = {"train_file": [path], "validation_split_percentage": 50}
    read(tmp_path, **values)
    assert "held-out documents" in said.text
    said.clear()
    found = read(tmp_path, **values, deduplicate=True)
    assert sorted(found["train"] + found["validation"]) == sorted(f"document {number}" for number in range(50))
    assert len(found["validation"]) == 25 and not said.text


def test_what_is_held_out_is_not_trained_on(tmp_path: Path) -> None:
    held_out = write(tmp_path, "held_out.txt", "two", "two", "four")
    train = [write(tmp_path, "a.txt", "one", "two", "one", "three"), write(tmp_path, "b.txt", "three", "four", "five")]
    values: dict[str, Any] = {"validation_file": [held_out], "deduplicate": True, "mixing_weights": [1.0, 1.0]}
    args = DataArguments(train_file=train, document_separator="line", **values)
    corpus = load_corpus(args, cache_dir=str(tmp_path / "cache"))
    assert set(corpus["train"]["text"]) == {"one", "three", "five"}
    assert list(corpus["validation"]["text"]) == ["two", "two", "four"]
    assert "(2 duplicates left out)" in corpus["train"].info.description
    with pytest.raises(UserError, match="^deduplicate: all 2 documents of '?.*c.txt.* leave this text out") as caught:
        read(tmp_path, train_file=[write(tmp_path, "c.txt", "two", "four")], **values | {"mixing_weights": None})
    assert "\n" not in str(caught.value)
