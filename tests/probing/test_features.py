"""Vectors of texts, against one text after the other, without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModel, AutoModelForMaskedLM

from tests.families import demo_tokenizer, save_encoder, tiny_pair
from transformers_mcl import MclForMaskedLM, UserError
from transformers_mcl.probing.features import open_encoder, pooled_states

TEXTS = ["a cat", "the old man and the sea at night", "what is it?", "", "the ship went down in the evening"]


def encoded(**how: Any) -> Dataset:
    return Dataset.from_dict(dict(demo_tokenizer()(TEXTS, **how)))


@pytest.mark.parametrize("half", ["discriminator", "generator"])
@pytest.mark.parametrize("kind", ["mcl", "modernbert"])
def test_each_half_gives_the_states_that_transformers_gives(kind: str, half: Any, tmp_path: Path) -> None:
    tiny_pair(kind).save_pretrained(tmp_path)
    model = open_encoder(str(tmp_path), half, "float32")
    tokenizer: Any = demo_tokenizer()
    opened: Any = AutoModel if half == "discriminator" else AutoModelForMaskedLM
    reference = opened.from_pretrained(tmp_path).eval()
    if isinstance(reference, MclForMaskedLM):
        reference = reference.generator.electra
    found = {name: pooled_states(model, tokenizer, encoded(), pooling=name, batch_size=2) for name in ("mean", "cls")}
    assert list(found["mean"]) == list(range(model.config.num_hidden_layers + 1))
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            states = reference(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        for layer, state in enumerate(states):
            np.testing.assert_allclose(found["mean"][layer][row], state[0].mean(0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found["cls"][layer][row], state[0, 0], rtol=1e-4, atol=1e-5)


def test_layers_are_counted_from_either_end(tmp_path: Path) -> None:
    save_encoder(tmp_path, "bert", layers=3)
    model, tokenizer = open_encoder(str(tmp_path), None, "float32"), demo_tokenizer()
    every = pooled_states(model, tokenizer, encoded())
    some = pooled_states(model, tokenizer, encoded(), layers=[-1, 0, 3])
    assert list(some) == [0, 3]
    np.testing.assert_array_equal(some[3], every[3])
    for wrong in (4, -5):
        with pytest.raises(UserError, match=rf"layers: there is no layer {wrong}, but 0 \(the embeddings\) to 3"):
            pooled_states(model, tokenizer, encoded(), layers=[0, wrong])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_may_be_on_the_left(pooling: Any, tmp_path: Path) -> None:
    save_encoder(tmp_path, "modernbert")  # whose positions are relative
    model, tokenizer = open_encoder(str(tmp_path), None, "float32"), demo_tokenizer()
    right = pooled_states(model, tokenizer, encoded(), pooling=pooling)
    tokenizer.padding_side = "left"
    left = pooled_states(model, tokenizer, encoded(), pooling=pooling)
    np.testing.assert_allclose(left[2], right[2], rtol=1e-4, atol=1e-5)


def test_what_is_no_encoder(tmp_path: Path) -> None:
    save_encoder(tmp_path / "bert", "bert")
    with pytest.raises(UserError, match="half: .*bert.* has no halves"):
        open_encoder(str(tmp_path / "bert"), "generator", "float32")
    tiny_pair("mcl").save_pretrained(tmp_path / "pair")
    MclForMaskedLM.from_pretrained(tmp_path / "pair").save_pretrained(tmp_path / "generator")
    with pytest.raises(UserError, match="no weights of the encoder .* named by --half generator"):
        open_encoder(str(tmp_path / "generator"), None, "float32")
    assert open_encoder(str(tmp_path / "generator"), "generator", "float32")
    broken = open_encoder(str(tmp_path / "bert"), None, "float32")
    with torch.no_grad():
        next(iter(broken.parameters())).fill_(torch.nan)
    with pytest.raises(UserError, match="BertModel gives states that are not finite"):
        pooled_states(broken, demo_tokenizer(), encoded())
