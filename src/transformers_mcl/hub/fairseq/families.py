"""The layouts that are known: what their tensors are called, and what their shapes do not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor

from ...errors import UserError
from .reading import REPORT_THIS, Settings

__all__ = ["FAMILIES", "Family", "check_settings", "find_family", "names_by_layer"]

# By our name; a layer of both has the same parts. `in_proj` below stands for three in one, query, key, value.
_LAYER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}
_FUSED = {name: "self_attn.in_proj" if "attention.self" in name else theirs for name, theirs in _LAYER.items()}
_TORCHSCALE = {**_LAYER, "intermediate.dense": "ffn.fc1", "output.dense": "ffn.fc2"}
_NORMALIZED_HEAD = ("bias", "dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias")


@dataclass(frozen=True)
class Family:
    """One code base's layout.

    Attributes:
        name: what the report calls it.
        evidence: keys that it is known by.
        discriminator, generator: what the names of their encoders' tensors begin with; `""` if there is none.
        layer: names of a layer's parts, by ours.
        embedding_norm, relative_bias: names inside an encoder.
        bias_type: as `MclConfig.relative_attention_bias_type`.
        first_position: the row of the position table that the first token reads. fairseq's learned positions begin
            after the padding's.
        language_head, detection_head: their names, if they have the usual ones.
        detection_suffixes, detection_rows: what a detection head is made of, beside `weight`, and the rows of that.
        detection_head_type: as `MclConfig`'s.
        defaults: settings of the code that shapes do not show, for checkpoints that do not tell.
    """

    name: str
    evidence: tuple[str, ...]
    discriminator: str
    generator: str
    layer: Mapping[str, str]
    embedding_norm: str
    relative_bias: str
    bias_type: str
    first_position: int
    language_head: str
    detection_head: str
    detection_suffixes: tuple[str, ...]
    detection_rows: int
    detection_head_type: str
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


_UNILM = Family(
    name="unilm ELECTRA",
    evidence=("discriminator.embed_tokens.weight", "discriminator.layers.0.self_attn.q_proj.weight"),
    discriminator="discriminator.",
    generator="generator.",
    layer=_LAYER,
    embedding_norm="layernorm_embedding",
    relative_bias="relative_position.relative_attention_bias.weight",
    bias_type="t5",
    first_position=2,
    language_head="generator_lm_head",
    detection_head="discriminator_lm_head",
    detection_suffixes=_NORMALIZED_HEAD,
    detection_rows=2,
    detection_head_type="layer_norm",
)
_COCO_LM = Family(
    name="COCO-LM or AMOS",
    evidence=(
        "encoder.sentence_encoder.embed_tokens.weight",
        "encoder.sentence_encoder.layers.0.self_attn.in_proj.weight",
    ),
    discriminator="encoder.sentence_encoder.",
    generator="auxiliary.sentence_encoder.",
    layer=_FUSED,
    embedding_norm="emb_layer_norm",
    relative_bias="relative_attention_bias.weight",
    bias_type="coco_lm",
    first_position=0,
    language_head="auxiliary.lm_head",
    detection_head="encoder.binary_head.out_proj",
    detection_suffixes=("bias",),
    detection_rows=1,
    detection_head_type="linear",
)
_TORCHSCALE_MLM = Family(
    name="TorchScale masked language model",
    evidence=("encoder.embed_tokens.weight", "encoder.layers.0.ffn.fc1.weight"),
    discriminator="",
    generator="encoder.",
    layer=_TORCHSCALE,
    embedding_norm="layernorm_embedding",
    relative_bias="relative_position.relative_attention_bias.weight",
    bias_type="t5",
    first_position=2,
    language_head="encoder.output_projection",
    detection_head="",
    detection_suffixes=(),
    detection_rows=0,
    detection_head_type="electra",
)
FAMILIES = (_UNILM, _COCO_LM, _TORCHSCALE_MLM)

# Options of these code bases that change what is computed and leave no trace in keys and shapes. Other values have no
# counterpart in ELECTRA.
_REQUIRED = {
    "activation_fn": "gelu",
    "encoder_normalize_before": False,
    "no_scale_embedding": True,
    "ffn_layernorm": False,
    "task_moe": False,
    "deepnorm": False,
    "subln": False,
    "multiway": False,
}


def find_family(tensors: Mapping[str, Tensor], source: str) -> Family:
    """The family whose evidence is all there.

    Raises:
        UserError: none is; it lists every name.
    """
    for family in FAMILIES:
        if all(name in tensors for name in family.evidence):
            return family
    known = "; ".join(f"{family.name}: {', '.join(family.evidence)}" for family in FAMILIES)
    raise UserError(
        f"{source} has a layout that is not known ({known}); {REPORT_THIS}. It holds {names_by_layer(tensors)}"
    )


def check_settings(settings: Settings, source: str) -> None:
    """Refuses a model that was trained with an option that ours cannot compute."""
    for name, required in _REQUIRED.items():
        value, origin = settings.get(name)
        if origin and value != required:
            raise UserError(
                f"{source} was trained with {origin}={value!r}: only {required!r} can be converted; {REPORT_THIS}"
            )


def names_by_layer(tensors: Mapping[str, Tensor]) -> str:
    """All names and shapes, those of all layers' same tensor once."""
    found: dict[str, set[str]] = {}
    for name, tensor in tensors.items():
        shapes = found.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), set())
        shapes.add("x".join(map(str, tensor.shape)) or "scalar")
    return ", ".join(f"{name} ({' or '.join(sorted(shapes))})" for name, shapes in found.items())
