"""Encoders of transformers' own classes, one of every family, so small that a test of all of them takes seconds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase, set_seed

from transformers_mcl import MclConfig, MclForPreTraining

__all__ = [
    "ADAPTED",
    "FAMILIES",
    "LAYERS",
    "OFFSET",
    "demo_tokenizer",
    "each",
    "save_encoder",
    "tiny_config",
    "tiny_pair",
]

_DEMO = Path(__file__).parents[1] / "src" / "transformers_mcl" / "data" / "demo" / "tokenizer"
_DEBERTA = {"relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True}
_DEBERTA |= {"pos_att_type": ["p2c", "c2p"], "position_biased_input": False}

_FIELDS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "deberta-v2": _DEBERTA,
    "distilbert": {},
    "albert": {},
    "electra": {},
    "eurobert": {},
    "nomic_bert": {},
    "mpnet": {},
    "esm": {"position_embedding_type": "rotary"},
}
_WIDTHS = {"albert": ("embedding_size",), "electra": ("embedding_size",)}

FAMILIES = tuple(_FIELDS)
"""The `model_type` of each."""

# What the quick tests take of many families: ours, one of every kind of position, and one without an adapter.
_QUICK = {"mcl", "bert", "roberta", "modernbert", "deberta-v2", "deberta-v3", "eurobert"}


def each(families: Iterable[str], name: str = "family") -> pytest.MarkDecorator:
    """Has a test take each of `families` in turn, as the argument `name`: the slow tests all of them."""
    marks = [() if family in _QUICK else pytest.mark.slow for family in families]
    return pytest.mark.parametrize(name, [pytest.param(f, marks=m) for f, m in zip(families, marks, strict=True)])


LAYERS = dict.fromkeys(_FIELDS, "encoder.layer") | {
    "modernbert": "layers",
    "distilbert": "transformer.layer",
    "albert": "encoder.albert_layer_groups",  # one, which all layers share
    "eurobert": "layers",
    "nomic_bert": "layers",
}
"""Where the layers of each lie in its base model."""

ADAPTED = ("bert", "roberta", "modernbert", "deberta-v2", "distilbert")
"""Those that what is done with a pair, once it is trained, is tried on."""

OFFSET = ("roberta", "xlm-roberta", "mpnet")
"""Families whose first position is that after the padding id, so that a row is shorter than the table."""


def demo_tokenizer() -> PreTrainedTokenizerBase:
    """The tokenizer of the demonstration: 1,024 pieces, `[PAD]` 0, `[CLS]` 2, `[SEP]` 3, `[MASK]` 4."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(_DEMO)
    return tokenizer


def tiny_config(
    model_type: str, *, vocab_size: int = 1024, layers: int = 2, width: int = 32, length: int = 64, **more: Any
) -> PreTrainedConfig:
    """A configuration of a family, with the special tokens of the demonstration's tokenizer and no dropout.

    Args:
        model_type: of `FAMILIES`, or of any other encoder with the usual names of fields.
        width: of the hidden states; of the layers between twice as much.
        length: the longest row that it takes.
        more: any other fields.
    """
    fields: dict[str, Any] = {"vocab_size": vocab_size, "num_hidden_layers": layers, "hidden_size": width}
    fields |= {"num_attention_heads": 4, "max_position_embeddings": length, **_FIELDS.get(model_type, {})}
    fields |= dict.fromkeys(_WIDTHS.get(model_type, ()), width)
    fields["hidden_dim" if model_type == "distilbert" else "intermediate_size"] = 2 * width
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        fields[name] = 0.0
    fields |= {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
    fields |= {"mask_token_id": 4, **more}
    if model_type in OFFSET:
        first = 1 if model_type == "mpnet" else fields["pad_token_id"]  # MPNet's is 1 whatever it is told
        fields["max_position_embeddings"] += first + 1
    return AutoConfig.for_model(model_type, **fields)


def save_encoder(
    folder: Path, model_type: str, kind: Any = AutoModel, tokenizer: PreTrainedTokenizerBase | None = None, **more: Any
) -> Path:
    """A checkpoint of random weights, with its tokenizer; the folder.

    Args:
        kind: the Auto class it is built with: a head, say.
        tokenizer: by default the demonstration's.
        more: of `tiny_config`.
    """
    set_seed(0)
    tokenizer = tokenizer or demo_tokenizer()
    kind.from_config(tiny_config(model_type, **more), dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_pair(model_type: str, encoder: dict[str, Any] | None = None, **fields: Any) -> MclForPreTraining:
    """A pair of a family, the same at each call, of wild weights, so that every part of it matters.

    Args:
        model_type: of `FAMILIES`, or `"mcl"` for the default, without relative positions.
        encoder: of `tiny_config`, for both networks.
        fields: of the pair's configuration.
    """
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
    if model_type == "mcl":
        shape = {"vocab_size": 1024, "max_position_embeddings": 64, "relative_attention_num_buckets": 0}
        config = MclConfig.tiny(**{**special, **shape, **(encoder or {}), **fields})
    else:
        own = tiny_config(model_type, **{"initializer_range": 0.3, **(encoder or {})})
        config = MclConfig(backbone_config=own, **{**special, **fields})
    pair: Any = MclForPreTraining(config)
    with torch.no_grad():
        for parameter in pair.parameters():  # biases and norms, too
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    made: MclForPreTraining = pair.eval()
    return made
