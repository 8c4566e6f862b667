"""What is told of encoders of every family by how they are built."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    FNetConfig,
    RobertaConfig,
    XLMConfig,
    XLNetConfig,
)

from tests.families import FAMILIES, LAYERS, each, tiny_config
from transformers_mcl.models.structure import input_names, layer_numbers, longest_row, parameter_depths

WITH_TYPES = {"bert", "albert", "electra", "nomic_bert"}
TABLES = {"bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "mpnet"}
INPUT = re.compile(r"embed|relative_attention_bias|deberta\.encoder\.LayerNorm")


@each(FAMILIES)
def test_depths(family: str) -> None:
    model = AutoModelForSequenceClassification.from_config(tiny_config(family, layers=3))
    depths, layers = parameter_depths(model)
    assert layers == (1 if family == "albert" else 3)
    assert depths.keys() == dict(model.named_parameters()).keys()
    place = re.compile(rf"{model.base_model_prefix}\.{re.escape(LAYERS[family])}\.(\d)\.")
    for name, depth in depths.items():
        match = place.match(name)
        assert depth == (int(match[1]) + 1 if match else 0 if INPUT.search(name) else layers + 2), name


@each(FAMILIES)
def test_the_longest_row_is_the_longest_that_works(family: str) -> None:
    model = AutoModel.from_config(tiny_config(family, length=16)).eval()
    assert longest_row(model) == 16
    model(input_ids=torch.full((1, 16), 7))
    if family in TABLES:
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, 17), 7))


def test_lengths_of_other_fields() -> None:
    small: dict[str, Any] = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
    }
    with torch.device("meta"):
        roberta = AutoModel.from_config(RobertaConfig(vocab_size=9, max_position_embeddings=514, **small))
        xlnet = AutoModel.from_config(XLNetConfig(vocab_size=9, d_model=8, n_layer=1, n_head=1, d_inner=8))
    assert (longest_row(roberta), longest_row(xlnet)) == (512, None)


@each(FAMILIES)
def test_inputs(family: str) -> None:
    model = AutoModel.from_config(tiny_config(family)).eval()
    names = input_names(model)
    types = ("token_type_ids",) if family in WITH_TYPES else ()
    assert names == ("input_ids", "attention_mask", *types)
    model(**{name: torch.ones(1, 8, dtype=torch.long) for name in names})


def test_inputs_of_a_family_without_a_mask() -> None:
    config = FNetConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, intermediate_size=8)
    assert input_names(AutoModel.from_config(config)) == ("input_ids", "token_type_ids")


def test_layers_are_told_from_other_lists() -> None:
    names = {
        "bert.encoder.layer.11.output.dense.bias": ("bert.encoder.layer", 11),
        "mixture.layers.0.experts.3.up.weight": ("mixture.layers", 0),
        "head.0.weight": None,
        "head.3.bias": None,
        "bert.embeddings.word_embeddings.weight": None,
    }
    assert {name: layer_numbers(names).get(name) for name in names} == names
    # XLM's layers are in four lists, two of them of single modules.
    config = XLMConfig(vocab_size=9, emb_dim=8, n_layers=2, n_heads=1)
    depths, layers = parameter_depths(AutoModel.from_config(config))
    assert layers == 2
    assert {name: depths[f"{name}.weight"] for name in ("layer_norm1.1", "ffns.0.lin1", "layer_norm_emb")} == {
        "layer_norm1.1": 2,
        "ffns.0.lin1": 1,
        "layer_norm_emb": 0,
    }
