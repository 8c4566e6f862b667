"""A tokenizer small enough to read its ids, for the tests of data/."""

from __future__ import annotations

import string

import pytest
from transformers import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def letters() -> BertTokenizer:
    """A token a letter: `a` is 5, `b` is 6, ...; then `[`, `]`, `sep` and `mask`."""
    vocab = [*SPECIAL, *string.ascii_lowercase, "[", "]", "sep", "mask"]
    return BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})
