"""Ingredients that lie on the Hub, by the real client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import BertTokenizer

from transformers_mcl import MclForPreTraining


def test_ingredients_from_the_hub(
    hub: Any, make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    for name, shard in (("a", "1GB"), ("b", "20KB")):
        pair = make_pair()
        with torch.no_grad():
            for parameter in pair.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
        pair.save_pretrained(tmp_path / name, max_shard_size=shard)
        tokenizer.save_pretrained(tmp_path / name)
    assert len(list((tmp_path / "b").glob("*.safetensors"))) > 1
    given = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_none"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("soups.py"), tmp_path],
        env=os.environ | given | {"HF_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(hub.repositories["ada/soup"]) >= {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert "transformers-mcl soup: error: ingredient: 'ada/none' is no directory here" in done.stderr
