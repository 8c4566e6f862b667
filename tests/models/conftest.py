"""Models and batches small enough for any test, and wild enough that nothing in them is zero by chance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from transformers_mcl import MclConfig

PAD, CLS, SEP, MASK, VOCABULARY = 0, 1, 2, 3, 12


def make_config(**overrides: Any) -> MclConfig:
    """Large initial scales, so that every part of the network matters; a vocabulary so small that samples hit."""
    fields: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "pad_token_id": PAD,
        "cls_token_id": CLS,
        "sep_token_id": SEP,
        "mask_token_id": MASK,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "generator_hidden_size": 24,
        "generator_num_hidden_layers": 1,
        "generator_num_attention_heads": 2,
        "generator_intermediate_size": 40,
        "max_position_embeddings": 40,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.3,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 20,
        "relative_attention_initializer_range": 1.0,
    }
    return MclConfig(**{**fields, **overrides})


def make_batch(padding: str) -> dict[str, Tensor]:
    """Clean rows `[CLS] … [SEP]`: `"none"` (packed, no attention mask), `"right"` or `"left"`."""
    draws = torch.Generator().manual_seed(5)
    lengths = [30] * 8 if padding == "none" else [30, 7, 19, 4, 26, 30, 11, 23]
    ids = torch.full((8, 30), PAD)
    for row, length in zip(ids, lengths, strict=True):
        content = torch.randint(MASK + 1, VOCABULARY, (length,), generator=draws)
        content[0], content[length // 2], content[-1] = CLS, SEP, SEP
        row[30 - length if padding == "left" else 0 :][:length] = content
    return {"input_ids": ids} if padding == "none" else {"input_ids": ids, "attention_mask": (ids != PAD).long()}


@pytest.fixture
def config() -> Callable[..., MclConfig]:
    """Makes the configuration of a tiny pair; takes fields that are to differ. Also seeds what initialises models."""
    torch.manual_seed(0)
    return make_config


@pytest.fixture
def batch() -> Callable[[str], dict[str, Tensor]]:
    """Makes the arguments of a forward pass; takes `"none"`, `"right"` or `"left"`, the padding."""
    return make_batch


class Messages(logging.Handler):
    """Keeps what transformers says, from warnings on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def messages() -> Iterator[list[str]]:
    handler = Messages()
    logging.getLogger("transformers").addHandler(handler)
    yield handler.said
    logging.getLogger("transformers").removeHandler(handler)
