"""Ingredients of a few thousand numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from transformers_mcl import MclConfig, MclForPreTraining

SIZES: dict[str, Any] = {
    "vocab_size": 150,
    "hidden_size": 64,
    "embedding_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "generator_num_hidden_layers": 1,
    "generator_num_attention_heads": 2,
    "generator_hidden_size": 64,
    "generator_intermediate_size": 32,
}

MakeIngredient = Callable[..., Path]


@pytest.fixture
def make_ingredient(tmp_path: Path) -> MakeIngredient:
    """Saves a pair of one initialisation and a little training, as `name`, and returns its folder.

    `**settings` are the configuration's; `start` is the seed of the initialisation, `step` how far it is trained.
    """

    def make(
        name: str,
        start: int = 0,
        dtype: torch.dtype | None = None,
        shard: str = "1GB",
        step: float = 0.01,
        **settings: Any,
    ) -> Path:
        torch.manual_seed(start)
        model: Any = MclForPreTraining(MclConfig(**(SIZES | settings)))
        torch.manual_seed(sum(map(ord, name)))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                moved = parameter[: len(parameter) // 2] if "word_embeddings" in key else parameter
                moved += step * torch.randn_like(moved)
        model.to(dtype=dtype).save_pretrained(tmp_path / name, max_shard_size=shard)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    """Special tokens where MCL's configuration has them by default, and 145 words."""
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    free = [i for i in range(150) if i not in special.values()]
    return BertTokenizer(vocab=special | {f"w{i}": i for i in free}, model_max_length=32)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """40 lines of ten words."""
    draw = random.Random(0)
    lines = [" ".join(f"w{draw.choice(range(2, 100))}" for _ in range(10)) for _ in range(40)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "text.txt"


@pytest.fixture
def make_classifier(tokenizer: BertTokenizer, tmp_path: Path) -> MakeIngredient:
    """Saves a classifier of three classes, of one initialisation and a little training, with its tokenizer."""

    def make(name: str) -> Path:
        torch.manual_seed(1)
        sizes = {key: value for key, value in SIZES.items() if not key.startswith(("generator", "embedding"))}
        labels = {0: "neutral", 1: "bad", 2: "good"}  # not in the order of their names
        ids = {name: i for i, name in labels.items()}
        model = BertForSequenceClassification(
            BertConfig(**sizes, id2label=labels, label2id=ids, initializer_range=0.5)
        )
        torch.manual_seed(sum(map(ord, name)))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.03)
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """20 rows of a sentence and one of two classes."""
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.choice(range(2, 100))}" for _ in range(5)) for _ in range(20)]
    rows = [{"sentence": text, "label": draw.choice(["good", "bad"])} for text in texts]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "reviews.jsonl"
