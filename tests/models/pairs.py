"""Pairs of every family, tiny and wild, and what they must compute, by the book."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedConfig

from tests.families import each, tiny_config
from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.method.courses import COURSES, all_losses
from transformers_mcl.models.backbones import FAMILIES, sibling
from transformers_mcl.models.modeling_mcl import MclGenerator, MclModel
from transformers_mcl.models.pretraining import CourseRecord
from transformers_mcl.models.sharing import embedding_layer

from .conftest import CLS, MASK, PAD, SEP, VOCABULARY, make_config

__all__ = [
    "ADAPTED",
    "FALLBACKS",
    "KINDS",
    "NATIVE",
    "Plain",
    "assert_of_the_plain_loop",
    "backbone",
    "every",
    "gradients",
    "gradients_of_halves",
    "heads_of",
    "make_pair",
    "plain_losses",
    "rows_of",
    "seeded",
    "undecided",
]

# As RoBERTa has them: padding is not 0, and positions begin after it.
_ROBERTA = {"pad_token_id": CLS, "cls_token_id": PAD, "bos_token_id": PAD}
_OURS: dict[str, Any] = {
    "pad_token_id": PAD,
    "cls_token_id": CLS,
    "bos_token_id": CLS,
    "sep_token_id": SEP,
    "eos_token_id": SEP,
}
_OURS |= {"mask_token_id": MASK, "vocab_size": VOCABULARY, "length": 40, "initializer_range": 0.2}
_CONVOLUTIONS = {"conv_kernel_size": 3, "conv_act": "gelu"}

MCL = {name: 50.0 if name.removeprefix("re_") in COURSES else 1.0 for name in all_losses()}
"""Weights that give every loss a part."""

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mcl": ("mcl", {}),
    "bert": ("bert", {}),
    "roberta": ("roberta", _ROBERTA),
    "xlm-roberta": ("xlm-roberta", _ROBERTA),
    "modernbert": ("modernbert", {}),
    "deberta-v3": ("deberta-v2", {}),
    "deberta-absolute": ("deberta-v2", {"position_biased_input": True, "type_vocab_size": 2}),
    "deberta-convolutions": ("deberta-v2", _CONVOLUTIONS),
    "distilbert": ("distilbert", {}),
    "albert": ("albert", {}),
    "eurobert": ("eurobert", {}),
    "mpnet": ("mpnet", _ROBERTA),
    "nomic_bert": ("nomic_bert", {}),
    "convbert": ("convbert", {"embedding_size": 32, "conv_kernel_size": 3}),
}
"""By name, the `model_type` and what its configuration has beyond the usual: a new family is one line here."""
NATIVE = tuple(kind for kind in KINDS if kind != "mcl")
ADAPTED = tuple(kind for kind, (model_type, _) in KINDS.items() if model_type in {"mcl", *FAMILIES})
FALLBACKS = tuple(kind for kind in KINDS if kind not in ADAPTED)


def every(kinds: tuple[str, ...] = tuple(KINDS), but: dict[str, str] | None = None) -> pytest.MarkDecorator:
    """Has a test take each of `kinds` in turn.

    Args:
        but: those that cannot, and the reason.
    """
    assert (but or {}).keys() <= set(kinds)
    return each([kind for kind in kinds if kind not in (but or {})], "kind")


def backbone(kind: str, **more: Any) -> PreTrainedConfig:
    """The configuration of a kind's encoder."""
    model_type, fields = KINDS[kind]
    return tiny_config(model_type, **{**_OURS, **fields, **more})


def make_pair(kind: str, encoder: dict[str, Any] | None = None, **fields: Any) -> MclForPreTraining:
    """A pair of two layers each, the same at each call, no weight of which is what initialisation gives.

    Args:
        encoder: fields of the configuration of a native encoder.
        fields: of the pair's.
    """
    torch.manual_seed(0)
    given = {"mask_ratio": 0.4, "swap_ratio": 0.35, "insert_ratio": 0.2, **fields}
    if kind == "mcl":
        pair = MclForPreTraining(make_config(**given))
    else:
        own = backbone(kind, **(encoder or {}))
        special = {f"{name}_token_id": getattr(own, f"{name}_token_id") for name in ("pad", "cls", "sep", "mask")}
        given = {"generator_backbone_config": sibling(own, 2), **given}
        pair = MclForPreTraining(MclConfig(backbone_config=own, **special, **given))
    with torch.no_grad():
        for parameter in pair.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        if KINDS[kind][0] in ("roberta", "xlm-roberta", "mpnet"):
            # transformers has no position for a padding token among the others, which a generator may sample.
            pair.generator.get_output_embeddings().bias[pair.config.pad_token_id] = -1e4
    return pair


def rows_of(pair: MclForPreTraining, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of `conftest.make_batch` with the special tokens of the pair."""
    if pair.config.pad_token_id == PAD:
        return inputs
    ids = inputs["input_ids"]
    return {**inputs, "input_ids": torch.where(ids == PAD, CLS, torch.where(ids == CLS, PAD, ids))}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def gradients_of_halves(model: Any) -> dict[str, Tensor]:
    """By names that a pair and its [`Plain`] have in common; what is shared is in both halves."""
    return {
        f"{part}.{name}": gradient
        for part in ("discriminator", "generator", "discriminator_predictions", "course_predictions")
        for name, gradient in gradients(getattr(model, part)).items()
    }


def heads_of(model: MclForPreTraining) -> list[Any]:
    return [model.discriminator_predictions, *model.course_predictions.values()]


def undecided(model: MclForPreTraining, inputs: dict[str, Any]) -> MclForPreTraining:
    """`model` with detection heads that call half of the clean tokens replaced, so that no cell is empty."""
    with torch.no_grad():
        hidden = model.encode(inputs["input_ids"], inputs.get("attention_mask"))
        for head in heads_of(model):
            head.dense_prediction.bias -= head(hidden).median()
    return model


class Plain(nn.Module):
    """The encoder and the masked language model of a pair as one makes them without it, with the pair's weights."""

    def __init__(self, pair: MclForPreTraining):
        super().__init__()
        self.config = pair.config
        self.discriminator: Any
        self.generator: Any
        if pair.config.backbone_config is None:
            self.discriminator, self.generator = MclModel(pair.config), MclGenerator(pair.config.generator_config())
        else:
            encoder, generator = map(copy.deepcopy, (pair.discriminator.config, pair.generator.config))
            self.discriminator = AutoModel.from_config(encoder)
            self.generator = AutoModelForMaskedLM.from_config(generator)
        state, table = pair.discriminator.state_dict(), pair.generator.get_input_embeddings().weight.detach()
        for name in [name for name in state if name.endswith(".delta")]:
            state[f"{name.removesuffix('.delta')}.weight"] = table + state.pop(name)
        self.discriminator.load_state_dict(state)
        self.generator.load_state_dict(pair.generator.state_dict())
        if pair.config.generator_shares == "token":
            self.generator.set_input_embeddings(self.discriminator.get_input_embeddings())
        elif pair.config.generator_shares == "all":
            name, layer = embedding_layer(self.discriminator)
            setattr(self.generator.base_model, name, layer)
        elif pair.config.generator_shares == "encoder":
            for name, _ in self.generator.base_model.named_children():
                setattr(self.generator.base_model, name, getattr(self.discriminator, name))
        self.generator.tie_weights()
        self.discriminator_predictions = copy.deepcopy(pair.discriminator_predictions)
        self.course_predictions = copy.deepcopy(pair.course_predictions)


def whole(model: Any, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None) -> Tensor:
    """The first output of a model of transformers, called as one calls it."""
    output: Tensor = model(input_ids, attention_mask=attention_mask)[0]
    return output


def plain_losses(
    model: Any, course: str, clean: Tensor, record: CourseRecord, read: Callable[..., Tensor] = whole
) -> dict[str, Tensor]:
    """A course's losses by the book, from what it did: the whole vocabulary everywhere, boolean indexing.

    Args:
        model: the two networks and their heads; a pair, too, is such a thing.
        read: calls a network with ids, mask and documents.
    """
    mask, documents = record.corruption.attention_mask, record.corruption.document_ids
    assert record.discriminator_input is not None
    assert record.logits is not None
    filled, judged = record.discriminator_input, record.logits > 0
    present = torch.ones_like(filled).bool() if mask is None else mask.bool()
    operated = torch.zeros_like(present)
    for row in range(len(clean)):
        operated[row, record.corruption.positions[row][record.corruption.valid[row]]] = True
    replaced = operated if course == "itd" else filled != clean
    own = course in ("std", "itd") and model.config.detection_heads == "per_course"
    head = model.course_predictions[course] if own else model.discriminator_predictions

    def generate(input_ids: Tensor, where: Tensor) -> Tensor:
        logits = read(model.generator, input_ids, mask, documents)
        return functional.cross_entropy(logits[where], clean[where], reduction="sum")

    def detect(input_ids: Tensor, where: Tensor) -> Tensor:
        logits = head(read(model.discriminator, input_ids, mask, documents))
        return functional.binary_cross_entropy_with_logits(logits[where], replaced[where].float(), reduction="sum")

    losses = {course: detect(filled, present) / present.sum()}
    if course == "itd":
        return losses
    generate_name, _, regenerate, rediscriminate = (loss.name for loss in COURSES[course].losses)
    losses[generate_name] = generate(record.corruption.input_ids, operated) / operated.sum()
    caught, wrong = present & replaced & judged, present & (replaced != judged)
    mixed = torch.where(caught, record.corruption.input_ids, clean)
    restored = torch.where(caught, clean, filled)
    all_known = model.config.correction_average == "all"
    losses[regenerate] = generate(mixed, caught) / (operated if all_known else caught).sum()
    losses[rediscriminate] = detect(restored, wrong) / (present if all_known else wrong).sum()
    return losses


def assert_of_the_plain_loop(
    pair: MclForPreTraining, inputs: dict[str, Tensor], read: Callable[..., Tensor] = whole
) -> None:
    """Losses and gradients of the pair are those of [`Plain`], which does the same with the same draws.

    Args:
        read: as of `plain_losses`.
    """
    output = pair(**inputs, generator=seeded(), output_records=True)
    output.loss.backward()
    plain = Plain(pair)
    losses: dict[str, Tensor] = {}
    for course, record in output.records.items():
        losses |= plain_losses(plain, course, inputs["input_ids"], record, read)
    weights = {name: weight for name, weight in pair.loss_weights.items() if weight}
    total = sum((weight * losses[name] for name, weight in weights.items()), torch.zeros(()))
    total.backward()

    assert output.losses.keys() == weights.keys()
    torch.testing.assert_close(output.losses, {name: losses[name].detach() for name in output.losses})
    expected = gradients_of_halves(plain)
    found = {name.replace(".delta", ".weight"): gradient for name, gradient in gradients_of_halves(pair).items()}
    assert {name for name, gradient in expected.items() if not gradient.any()} == set()
    assert {name for name in expected if "pooler" in name} == set()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
