"""A tokenizer small enough to read its ids, and what is warned of, for the tests of data/."""

from __future__ import annotations

import logging
import string
from collections.abc import Iterator

import pytest
from transformers import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def letters() -> BertTokenizer:
    """A token a letter: `a` is 5, `b` is 6, ...; then `[`, `]`, `sep` and `mask`."""
    vocab = [*SPECIAL, *string.ascii_lowercase, "[", "]", "sep", "mask"]
    return BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What data/ warns of."""
    logger = logging.getLogger("transformers_mcl.data")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
