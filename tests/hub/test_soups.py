"""Ingredients that lie on the Hub, by the real client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import BertTokenizer

from transformers_mcl import MclForPreTraining


def test_ingredients_from_the_hub(
    hub: Any,
    run_with_hub: Any,
    make_pair: Callable[..., MclForPreTraining],
    tokenizer: BertTokenizer,
    tmp_path: Path,
) -> None:
    for name, shard in (("a", "1GB"), ("b", "20KB")):
        pair = make_pair()
        with torch.no_grad():
            for parameter in pair.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
        pair.save_pretrained(tmp_path / name, max_shard_size=shard)
        tokenizer.save_pretrained(tmp_path / name)
    assert len(list((tmp_path / "b").glob("*.safetensors"))) > 1
    done = run_with_hub(Path(__file__).with_name("soups.py"), tmp_path)
    assert set(hub.repositories["ada/soup"]) >= {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert "transformers-mcl soup: error: ingredient: 'ada/none' is no directory here" in done.stderr
