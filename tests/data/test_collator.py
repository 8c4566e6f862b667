from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from transformers_mcl.data import DataCollatorForMcl, collator


def test_the_examples_of_the_docstring() -> None:
    result = doctest.testmod(collator)
    assert (result.failed, result.attempted) == (0, 5)


def test_packed_rows_have_no_mask_and_keep_their_ids(letters: BertTokenizer) -> None:
    rows = np.arange(12, dtype=np.int32).reshape(3, 4)
    batch = DataCollatorForMcl(letters)([{"input_ids": row} for row in rows])
    assert batch.keys() == {"input_ids"}
    assert batch["input_ids"].dtype == torch.int64
    assert batch["input_ids"].tolist() == rows.tolist()


def test_padding_to_a_multiple(letters: BertTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    letters.pad_token = "[MASK]"  # id 4: the tokenizer's choice, not always 0
    collate = DataCollatorForMcl(letters, pad_to_multiple_of=4)
    assert collate([{"input_ids": [2, 5, 6, 3]}]).keys() == {"input_ids"}
    batch = collate([{"input_ids": [2, 5, 3]}, {"input_ids": [2, 5, 3]}])
    assert batch["input_ids"].tolist() == [[2, 5, 3, 4]] * 2
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0]] * 2
    assert batch["attention_mask"].dtype == torch.int64
    assert not caplog.records


def test_words_are_padded_with_their_ids(letters: BertTokenizer) -> None:
    rows = [{"input_ids": [2, 5, 6, 3], "word_starts": [False, True, False, False]}]
    batch = DataCollatorForMcl(letters)(rows)
    assert batch.keys() == {"input_ids", "word_starts"} and batch["word_starts"].dtype == torch.bool
    assert batch["word_starts"].tolist() == [[False, True, False, False]]
    rows.append({"input_ids": [2, 7, 3], "word_starts": [False, True, False]})
    for side, expected in (("right", [False, True, False, False]), ("left", [False, False, True, False])):
        letters.padding_side = side
        batch = DataCollatorForMcl(letters)(rows)
        assert batch["word_starts"].tolist() == [[False, True, False, False], expected]
        assert batch["word_starts"].dtype == torch.bool
