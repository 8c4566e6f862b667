"""The families of encoders that a pair can be made of: what is particular to each, and what holds for all.

A pair takes transformers' own classes as they are: the base model for the discriminator, the masked language model for
the generator. What it must know beyond their `forward` is in a [`Family`]; one that is not registered is taken for an
encoder like any other, which works wherever its `forward` does. See `docs/add_an_encoder.md`.
"""

from __future__ import annotations

import copy
import inspect
import re
import sys
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.auto_factory import _get_model_class

from ..errors import UserError
from ..method.documents import positions_in_documents
from .masks import document_mask
from .structure import longest_row

__all__ = [
    "FAMILIES",
    "Family",
    "check_backbone",
    "embedding_width",
    "encode",
    "family_of",
    "native_class",
    "new_discriminator",
    "new_generator",
    "predict_at",
    "predicts_at",
    "register_family",
    "sibling",
    "undeclared_fields",
]


class Family:
    """An encoder that nothing is known of but that transformers opens it as a masked language model.

    Attributes:
        known: whether its prediction head is known to take hidden states of chosen positions alone; of others it is
            tried out (`predicts_at`).
        needs_mask: whether it is given an attention mask even where nothing is padded.
    """

    known = False
    needs_mask = True

    def longest_row(self, config: PreTrainedConfig) -> int:
        """Tokens of the longest row that it has positions for."""
        with torch.device("meta"):
            model = native_class("AutoModel", config)(_of_one_layer(config))
        return longest_row(model) or _NO_LIMIT

    def reads_documents(self, config: PreTrainedConfig) -> bool:
        """Whether `apart` can keep the documents of a row apart."""
        return False

    def prepare(self, model: PreTrainedModel) -> None:
        """What the base model needs once, after it was made."""

    def inputs(
        self, model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None
    ) -> dict[str, Any]:
        """The arguments of the forward of `model`, base model or masked language model.

        Args:
            input_ids (`LongTensor` of shape `(batch, length)`): tokens.
            attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding.
            document_ids (`LongTensor` of shape `(batch, length)`, *optional*): which document each token belongs to;
                given only where `reads_documents`.
        """
        if document_ids is not None:
            return {"input_ids": input_ids, **self.apart(model, attention_mask, document_ids)}
        if attention_mask is None and self.needs_mask:
            attention_mask = torch.ones_like(input_ids)
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def apart(self, model: PreTrainedModel, attention_mask: Tensor | None, document_ids: Tensor) -> dict[str, Any]:
        """The arguments that keep documents apart, mask and positions: of `inputs`, but for the ids."""
        raise NotImplementedError


class AbsolutePositions(Family):
    """BERT and its like: position embeddings that are counted from 0, masks of any shape."""

    known = True
    needs_mask = False

    def reads_documents(self, config: PreTrainedConfig) -> bool:
        return True

    def apart(self, model: PreTrainedModel, attention_mask: Tensor | None, document_ids: Tensor) -> dict[str, Any]:
        return {
            "attention_mask": document_mask(model.config, document_ids, attention_mask, model.dtype),
            "position_ids": positions_in_documents(document_ids) + self.offset(model.config),
        }

    def offset(self, config: PreTrainedConfig) -> int:
        """The position of a row's first token."""
        return 0


class OffsetPositions(AbsolutePositions):
    """RoBERTa and its like: positions begin after that of padding, which takes one and leaves those before unused.

    transformers counts the tokens that are not the padding *token*. A generator may sample this, and every position
    after it would move: they are counted by the attention mask here, with the same result for all other rows.
    """

    def offset(self, config: PreTrainedConfig) -> int:
        return (config.pad_token_id or 0) + 1

    def inputs(
        self, model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None
    ) -> dict[str, Any]:
        given = super().inputs(model, input_ids, attention_mask, document_ids)
        if document_ids is None:
            present = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
            given["position_ids"] = present.cumsum(1) * present + self.offset(model.config) - 1
        return given


class ModernBert(Family):
    """Rotary positions; layers that see a window only have a mask of their own."""

    known = True
    needs_mask = False

    def reads_documents(self, config: PreTrainedConfig) -> bool:
        return True

    def apart(self, model: PreTrainedModel, attention_mask: Tensor | None, document_ids: Tensor) -> dict[str, Any]:
        windows = {"full_attention": None, "sliding_attention": model.config.sliding_window}
        # Rotary positions tell distances alone: those within a document are what they are in it alone.
        return {
            "attention_mask": {
                kind: document_mask(model.config, document_ids, attention_mask, model.dtype, window)
                for kind, window in windows.items()
            }
        }


class DebertaV2(Family):
    """Distances in place of positions, in an attention that is always eager."""

    known = True

    def reads_documents(self, config: PreTrainedConfig) -> bool:
        # A convolution over the tokens mixes neighbours, whatever the mask says.
        return not getattr(config, "conv_kernel_size", 0)

    def prepare(self, model: PreTrainedModel) -> None:
        # The embeddings of padding are set to 0, by the mask that says for every query what it sees.
        embeddings: Any = model.embeddings
        embeddings.register_forward_pre_hook(_mask_of_tokens, with_kwargs=True)

    def apart(self, model: PreTrainedModel, attention_mask: Tensor | None, document_ids: Tensor) -> dict[str, Any]:
        same = document_ids[:, :, None] == document_ids[:, None, :]
        if attention_mask is not None:
            present = attention_mask.bool()
            same = same & present[:, :, None] & present[:, None, :]
        return {"attention_mask": same, "position_ids": positions_in_documents(document_ids)}


class Mcl(Family):
    """The default, ELECTRA with a relative position bias, which keeps documents apart by itself."""

    known = True

    def reads_documents(self, config: PreTrainedConfig) -> bool:
        return True

    def inputs(
        self, model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None
    ) -> dict[str, Any]:
        return {"input_ids": input_ids, "attention_mask": attention_mask, "document_ids": document_ids}


def _mask_of_tokens(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A forward pre-hook: of a mask `(batch, length, length)` what each token sees of itself, `(batch, length)`."""
    if (mask := kwargs.get("mask")) is not None and mask.dim() == 3:
        kwargs = {**kwargs, "mask": mask.diagonal(dim1=1, dim2=2)}
    return args, kwargs


FAMILIES: dict[str, Family] = {
    "mcl": Mcl(),
    "bert": AbsolutePositions(),
    "distilbert": AbsolutePositions(),
    "roberta": OffsetPositions(),
    "xlm-roberta": OffsetPositions(),
    "camembert": OffsetPositions(),
    "modernbert": ModernBert(),
    "deberta-v2": DebertaV2(),
}
"""By model type. Others are taken for a plain [`Family`]."""


def register_family(model_type: str, family: Family, exist_ok: bool = False) -> None:
    """Has pairs treat encoders of a model type as `family` says.

    Raises:
        UserError: the type has a family already, and not `exist_ok`.
    """
    if model_type in FAMILIES and not exist_ok:
        raise UserError(f"model_type {model_type!r} has a family already: give exist_ok=True to replace it")
    FAMILIES[model_type] = family


def family_of(config: PreTrainedConfig) -> Family:
    """The family of an encoder's own configuration."""
    return FAMILIES.get(config.model_type, _UNKNOWN)


_UNKNOWN = Family()
_NO_LIMIT = 1 << 20
_GIVE_ONE = "give a generator of your own (generator_name_or_path, generator_backbone_config)"


def native_class(auto: str, config: PreTrainedConfig) -> type[PreTrainedModel]:
    """transformers' own class for a configuration.

    Args:
        auto: the Auto class that has it: `"AutoModel"`, `"AutoModelForMaskedLM"`, …

    Raises:
        UserError: the family has none.
    """
    mapping = getattr(transformers, auto)._model_mapping
    if type(config) not in mapping:
        raise UserError(f"{auto}: transformers has no such model of the family {config.model_type!r}")
    found: type[PreTrainedModel] = _get_model_class(config, mapping)
    return found


def check_backbone(config: PreTrainedConfig, where: str) -> None:
    """Whether a pair can be made of encoders of this configuration.

    Args:
        where: what messages begin with: the argument and the name.

    Raises:
        UserError: a decoder, an encoder-decoder, a model of images or sound, or no model of text at all.
    """
    needed = "a pair needs an encoder of text that transformers opens with AutoModelForMaskedLM"
    if config.is_encoder_decoder:
        raise UserError(f"{where} is an encoder-decoder ({config.model_type}): {needed}")
    if getattr(config, "is_decoder", False):
        raise UserError(f"{where} is a decoder ({config.model_type}, is_decoder=True): {needed}")
    if type(config) not in transformers.AutoModelForMaskedLM._model_mapping:
        decoder = type(config) in transformers.AutoModelForCausalLM._model_mapping
        kind = "a decoder" if decoder else "no masked language model"
        raise UserError(f"{where} is {kind} ({config.model_type}): {needed}")
    if not isinstance(getattr(config, "vocab_size", None), int) or hasattr(config, "vision_config"):
        raise UserError(f"{where} does not read text alone ({config.model_type}): {needed}")


def undeclared_fields(config: PreTrainedConfig) -> set[str]:
    """What a family's code reads of a configuration that does not declare it, as DeBERTa's `position_buckets`."""
    module = sys.modules[native_class("AutoModelForMaskedLM", config).__module__]
    names = set(re.findall(r"\bconfig(?:, \"|\.)([a-z]\w*)", inspect.getsource(module)))
    return names - set(dir(type(config)))


def embedding_width(config: PreTrainedConfig) -> int:
    """Numbers in the embedding of a token.

    Raises:
        UserError: the family's configuration does not say.
    """
    for name in ("embedding_size", "input_embedding_size", "hidden_size"):  # ELECTRA's, RemBERT's, everyone's
        if width := getattr(config, name, None):
            return int(width)
    raise UserError(
        f"the family {config.model_type!r} does not say how wide its embeddings are: no pair is made of it"
    )


def sibling(config: PreTrainedConfig, layers: int | None = None) -> PreTrainedConfig:
    """The configuration of a smaller encoder: the same family and width with fewer layers, the first ones.

    Args:
        layers: how many; a third by default.

    Raises:
        UserError: the family's configuration does not say how many layers it has.
    """
    depth = getattr(config, "num_hidden_layers", None)
    if not isinstance(depth, int):
        raise UserError(
            f"the family {config.model_type!r} does not say how many layers it has in one number: {_GIVE_ONE}"
        )
    smaller = copy.deepcopy(config)
    layers = layers or max(round(depth / 3), 1)
    for name, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == depth:  # what each layer is, one by one
            setattr(smaller, name, value[:layers])
    try:
        smaller.num_hidden_layers = layers
    except NotImplementedError as error:  # Funnel's layers come in blocks
        raise UserError(f"the family {config.model_type!r}: {error} {_GIVE_ONE}") from error
    return smaller


def _of_one_layer(config: PreTrainedConfig) -> PreTrainedConfig:
    """Cheaper to build; the same where a family does not say how many layers it has."""
    try:
        return sibling(config, 1)
    except UserError:
        return config


class Gather:
    """A forward hook of a base model: has what comes after it see hidden states at chosen positions alone.

    The vocabulary projection costs more than the rest of a small generator. A masked language model applies its head,
    whatever it consists of, to all that its base model gives it: so this one hook serves every family.

    Attributes:
        positions (`LongTensor` of shape `(batch, slots)`, *optional*): where; `None` for everywhere.
    """

    positions: Tensor | None = None

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if self.positions is None:
            return None
        hidden = output[0]
        chosen = hidden.gather(1, self.positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        if isinstance(output, tuple):
            return (chosen, *output[1:])
        output["last_hidden_state"] = chosen
        return output


def new_discriminator(config: PreTrainedConfig, attn_implementation: str | None) -> PreTrainedModel:
    """An encoder of transformers' own, new. A pooler is kept for the tasks that use it, and not trained: no course
    does.

    Args:
        config: the encoder's, which the model keeps.
        attn_implementation: what was asked for; `None` for what the family has.
    """
    model = _new("AutoModel", config, attn_implementation)
    if isinstance(pooler := getattr(model, "pooler", None), nn.Module):
        pooler.requires_grad_(False)
    return model


def new_generator(config: PreTrainedConfig, attn_implementation: str | None) -> PreTrainedModel:
    """A masked language model of transformers' own, new, that `predict_at` can use; arguments as of
    `new_discriminator`."""
    model: Any = _new("AutoModelForMaskedLM", config, attn_implementation)
    model.gather = Gather()
    model.base_model.register_forward_hook(model.gather)
    # Found out when it is first asked for; of a base model that is the whole model there is nothing to find out.
    model.predicts_at = False if model.base_model is model else family_of(config).known or None
    return model


def _new(auto: str, config: PreTrainedConfig, attn_implementation: str | None) -> Any:
    # "sdpa" is what transformers writes where nothing was asked for; a family without it takes what it has.
    config._attn_implementation = None if attn_implementation == "sdpa" else attn_implementation
    model = native_class(auto, config)(config)
    base: Any = model.base_model
    family_of(config).prepare(base)
    return model


def encode(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None
) -> Tensor:
    """The hidden states `(batch, length, hidden)` of an encoder of any family; as `CoursesMixin.encode`."""
    hidden: Tensor = model(**family_of(model.config).inputs(model, input_ids, attention_mask, document_ids))[0]
    return hidden


def predict_at(
    generator: Any, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor, document_ids: Tensor | None
) -> Tensor:
    """The vocabulary logits `(batch, slots, vocabulary)` of a [`new_generator`]; as `CoursesMixin.predict_at`."""
    given = family_of(generator.config).inputs(generator, input_ids, attention_mask, document_ids)
    if predicts_at(generator):
        return _logits(generator, given, positions)
    logits = _logits(generator, given, None)
    return logits.gather(1, positions.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))


def _logits(generator: Any, given: dict[str, Any], positions: Tensor | None) -> Tensor:
    generator.gather.positions = positions
    try:
        logits: Tensor = generator(**given).logits
    finally:
        generator.gather.positions = None
    return logits


@torch.no_grad()
def predicts_at(generator: Any) -> bool:
    """Whether `predict_at` costs the vocabulary projection at the positions alone; of a family that is not known to,
    tried out once."""
    if generator.predicts_at is None:
        training, device = generator.training, generator.device
        ids = torch.arange(8, device=device)[None] % generator.config.vocab_size
        given = family_of(generator.config).inputs(generator, ids, None, None)
        at = torch.tensor([[1, 4, 5]], device=device)
        generator.eval()
        try:
            expected, there = _logits(generator, given, None)[:, at[0]], _logits(generator, given, at)
            same = there.shape == expected.shape and there.allclose(expected, rtol=1e-4, atol=1e-5)
            generator.predicts_at = same
        except Exception:  # whatever a head does that needs the whole row
            generator.predicts_at = False
        finally:
            generator.train(training)
    return bool(generator.predicts_at)
