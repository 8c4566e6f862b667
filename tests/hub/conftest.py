"""A pair with its tokenizer and card, small enough for any test, and a Hub on the loopback."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import BertTokenizer

from transformers_mcl import MclConfig, MclForPreTraining

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef cooked ate a meal soup who what ? .".split()


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=32)


@pytest.fixture
def make_pair(tokenizer: BertTokenizer) -> Callable[..., MclForPreTraining]:
    """A pair whose halves differ in shape, and whose scales are so large that every part of it matters."""

    def make(**overrides: Any) -> MclForPreTraining:
        torch.manual_seed(0)
        ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
        shape = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "embedding_size": 16}
        shape |= {"generator_hidden_size": 24, "generator_num_attention_heads": 2, "generator_num_hidden_layers": 1}
        fields = {**shape, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 32}
        pair = MclForPreTraining(MclConfig.tiny(**{**fields, "initializer_range": 0.3, **overrides})).eval()
        with torch.no_grad():
            for parameter in pair.parameters():  # biases and norms, too
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return pair

    return make


@pytest.fixture
def rows(tokenizer: BertTokenizer) -> dict[str, torch.Tensor]:
    """A padded batch."""
    texts = ["the chef cooked a meal .", "who ate ?"]
    return dict(tokenizer(texts, padding=True, return_tensors="pt"))


@pytest.fixture
def hub() -> Iterator[Any]:
    """A Hub on the loopback; see `hub_server.py`."""
    spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).with_name("hub_server.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.serving() as server:
        yield server


@pytest.fixture
def online(hub: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The Hub that this process talks to; the caches are empty."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(
        constants.HUGGINGFACE_CO_URL_TEMPLATE.split("/{")[0], hub.url
    )
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)
    return hub


@pytest.fixture
def run_with_hub(hub: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python with these words, the real client, and the Hub on the loopback; it must end well."""

    def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        given = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_none"}
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            env=os.environ | given | {"HF_HOME": str(tmp_path / "cache")},
            cwd=cwd,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run
