"""A tokenizer of a few words, models for it that are random and wild, and pairs of sentences of many lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizer, ElectraConfig, ElectraForPreTraining

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.evaluation.minimal_pairs import Pair

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef cook cooks meal slept ##s ##ed ##ing .".split()
_SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})


@pytest.fixture(scope="session")
def models() -> dict[str, Any]:
    """By the model's type; those of BERT and ELECTRA are one half only."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": len(WORDS), "max_position_embeddings": 24, "initializer_range": 0.2}
    special: dict[str, Any] = {f"{name}_token_id": WORDS.index(f"[{name.upper()}]") for name in ("cls", "sep", "mask")}
    pair = MclConfig.tiny(
        **sizes, **special, pad_token_id=0, num_hidden_layers=2, generator_num_hidden_layers=1, hidden_dropout_prob=0.1
    )
    return {
        "mcl": MclForPreTraining(pair),
        "bert": BertForMaskedLM(BertConfig(**sizes, **_SIZES)),
        "electra": ElectraForPreTraining(ElectraConfig(**sizes, **_SIZES, embedding_size=16)),
    }


@pytest.fixture(scope="session")
def pairs() -> list[Pair]:
    texts = [
        ("The chef cooks.", "The chef cook."),
        ("the chef slept", "the chefs slept the meal"),
        ("the cooks cooked the meals the chef cooked .", "the cooks cooked the meals slept"),
        ("the meal", "meal the"),
        ("cooking the meal the chef slept", "chefing the meals the chef slept the chef slept the meal"),
    ]
    paradigms = ("agreement", "order")
    return [
        Pair(good, bad, paradigms[i % 2], "syntax", f"term {i % 3}", f"line {i + 1} of 'x'")
        for i, (good, bad) in enumerate(texts)
    ]
