"""Ingredients of a few thousand numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

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

    `**settings` are the configuration's; `start` is the seed of the initialisation.
    """

    def make(name: str, start: int = 0, dtype: torch.dtype | None = None, shard: str = "1GB", **settings: Any) -> Path:
        torch.manual_seed(start)
        model: Any = MclForPreTraining(MclConfig(**(SIZES | settings)))
        torch.manual_seed(sum(map(ord, name)))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                moved = parameter[: len(parameter) // 2] if "word_embeddings" in key else parameter
                moved += 0.01 * torch.randn_like(moved)
        model.to(dtype=dtype).save_pretrained(tmp_path / name, max_shard_size=shard)
        return tmp_path / name

    return make
