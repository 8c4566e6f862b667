"""The MCL encoder, transformers' ELECTRA with a relative position bias, and its heads. The pair that pre-trains them
is in `models/pretraining.py`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
    ElectraPreTrainedModel,
    PreTrainedConfig,
)
from transformers import initialization as init
from transformers.activations import get_activation
from transformers.modeling_outputs import BaseModelOutputWithCrossAttentions, MaskedLMOutput
from transformers.models.electra.modeling_electra import ElectraSelfAttention
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from ..errors import UserError
from ..method.documents import positions_in_documents
from . import hooks
from .attention import MclSelfAttention, lowest
from .backbones import native_class
from .configuration_mcl import MclConfig
from .dropout import cheapen_dropout
from .heads import LayerMixture, detection_head
from .masks import check_documents, document_mask
from .native import auto_name, open_native, pair_config
from .sharing import SHARING, new_size, resize

__all__ = [
    "MclDiscriminator",
    "MclForMaskedLM",
    "MclForMultipleChoice",
    "MclForQuestionAnswering",
    "MclForSequenceClassification",
    "MclForTokenClassification",
    "MclGenerator",
    "MclModel",
    "MclPreTrainedModel",
    "RelativePositionBias",
    "check_length",
]


class ScaledEmbedding(nn.Embedding):
    """An embedding with a standard deviation of its own at initialisation; `None` for the model's."""

    def __init__(self, num_embeddings: int, embedding_dim: int, initializer_range: float | None):
        super().__init__(num_embeddings, embedding_dim)
        self.initializer_range = initializer_range


class RelativePositionBias(ScaledEmbedding):
    """A bidirectional relative position bias: one learned number a head and bucket, shared by all layers.

    The buckets are T5's, or COCO-LM's (`relative_attention_bias_type`). The released code lineage of MCL has T5's, on
    top of learned absolute positions (`docs/method.md`, *Architecture*).
    """

    def __init__(self, config: MclConfig):
        super().__init__(
            config.relative_attention_num_buckets,
            config.num_attention_heads,
            config.relative_attention_initializer_range,
        )
        self.max_distance = config.relative_attention_max_distance
        self.kind = config.relative_attention_bias_type

    def bucket(self, distance: Tensor) -> Tensor:
        """Bucket of each `distance` (key position minus query position), any shape, in `[0, buckets)`.

        Half of the buckets are for keys on the right. Of each half, one half holds one distance each, the other grows
        logarithmically up to `max_distance`, beyond which all share the last. COCO-LM's have one bucket for distance 0
        in their middle, grow by steps that end where T5's begin, and leave the very last bucket without a distance.
        """
        half = self.num_embeddings // 2
        exact = half // 2
        far = distance.abs()
        # The orders of operations are theirs, so that no distance falls into another bucket by rounding.
        if self.kind == "coco_lm":
            scale = math.log((self.max_distance - 1) / exact)
            steps = torch.ceil(torch.log(far.float() / exact) / scale * (half - 1 - exact)).long()
            near = torch.where(far < exact, far, (exact + steps).clamp(max=half - 1))
            return half - 1 + distance.sign() * near
        scale = math.log(self.max_distance / exact)
        logarithmic = exact + (torch.log(far.float() / exact) / scale * (half - exact)).long()
        near = torch.where(far < exact, far, logarithmic.clamp(max=half - 1))
        return (distance > 0).long() * half + near

    def forward(self, length: int) -> Tensor:  # type: ignore[override]
        """The bias of every query on every key, `(1, heads, length, length)`."""
        device = self.weight.device
        # Each of the 2 * length - 1 distances is looked up once; row i of the square is a window into them.
        by_distance = super().forward(self.bucket(torch.arange(1 - length, length, device=device)))
        return by_distance.T.unfold(1, length, 1).flip(1).unsqueeze(0)


class MclPreTrainedModel(ElectraPreTrainedModel):
    """Base of all MCL models: initialisation, and which keys of a pair's checkpoint are another model's."""

    config_class = MclConfig
    config: MclConfig
    _is_pair = False  # whether it is both networks, of any family
    _no_split_modules: Any = ["ElectraLayer", "ElectraEmbeddings"]
    _keys_to_ignore_on_load_unexpected: Any = [
        r"^generator\.",
        r"^discriminator_predictions\.",
        r"^course_predictions\.",
        r"\.word_embeddings\.delta$",
    ]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As any model's, repositories of fairseq's included; of a pair of another family, transformers' own class."""
        folder = hooks.locate(pretrained_model_name_or_path, **kwargs)
        if not cls._is_pair and folder is not None:
            config = pair_config(cls.config_class, folder, kwargs)
            if config.backbone_config is not None:
                return open_native(cls.__name__, folder, config, **kwargs)
            kwargs["config"] = config
        opened: Any = super().from_pretrained(folder, *args, **kwargs)
        if folder != pretrained_model_name_or_path:
            model = opened[0] if isinstance(opened, tuple) else opened
            model.name_or_path = model.config.name_or_path = str(pretrained_model_name_or_path)
        return opened

    @classmethod
    def _from_config(cls, config: MclConfig, **kwargs: Any) -> Any:
        """As any model's, new; of a pair of another family, transformers' own class."""
        if cls._is_pair or config.backbone_config is None:
            return super()._from_config(config, **kwargs)
        own = config.native_config(generator=cls.__name__ == "MclForMaskedLM")
        return native_class(auto_name(cls.__name__), own)._from_config(own, **kwargs)

    def __init__(self, config: MclConfig, *args: Any, **kwargs: Any):
        config.check()
        if config.backbone_config is not None and not self._is_pair:
            raise UserError(
                f"{type(self).__name__}: this is the configuration of a pair of another family "
                f"({config.backbone_config.model_type}), whose models are transformers' own: open them with "
                f"{auto_name(type(self).__name__)}"
            )
        super().__init__(config, *args, **kwargs)

    @property
    def _reads_documents(self) -> bool:
        """Whether the model gives its encoders `document_ids`."""
        return False

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ScaledEmbedding) and module.initializer_range is not None:
            init.normal_(module.weight, mean=0.0, std=module.initializer_range)
        else:
            super()._init_weights(module)

    def _upload_modified_files(self, *args: Any, **kwargs: Any) -> Any:
        """The last step of `push_to_hub`; transformers comes to it with a card that says nothing."""
        hooks.bring_card(self, *args[:2], kwargs.get("token"))
        return super()._upload_modified_files(*args, **kwargs)

    def _check_and_adjust_attn_implementation(self, attn_implementation: str | None, *args: Any, **kwargs: Any) -> str:
        if "flash" in (attn_implementation or ""):  # before transformers looks for its package
            _check_attention(self.config, attn_implementation, self._reads_documents)
        adjusted = super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)
        _check_attention(self.config, adjusted, self._reads_documents)
        return adjusted


def _check_attention(config: MclConfig, attn_implementation: str | None, documents: bool) -> None:
    """Refuses an attention function that would leave out the relative position bias, or what keeps `documents` apart,
    and not say so."""
    if attn_implementation in (None, "eager", "sdpa", "flex_attention"):
        return
    if config.relative_attention_num_buckets:
        raise UserError(
            f"attn_implementation={attn_implementation!r} cannot add the relative position bias "
            f"(relative_attention_num_buckets={config.relative_attention_num_buckets}): use 'sdpa', 'flex_attention' "
            "or 'eager', or pre-train with relative_attention_num_buckets=0"
        )
    if documents:
        check_documents(attn_implementation)


def check_length(config: MclConfig, length: int) -> None:
    """Refuses rows longer than the model has positions for."""
    if length > config.max_position_embeddings:
        raise UserError(
            f"a sequence of {length} tokens is longer than the model's "
            f"max_position_embeddings={config.max_position_embeddings}: truncate it"
        )


class MclModel(MclPreTrainedModel, ElectraModel):
    """ELECTRA's encoder plus the relative position bias; with the bias off it *is* ELECTRA's, key for key."""

    def __init__(self, config: MclConfig):
        super().__init__(config)
        if (std := config.position_initializer_range) is not None:
            width, tables = config.embedding_size, self.embeddings
            tables.position_embeddings = ScaledEmbedding(config.max_position_embeddings, width, std)
            tables.token_type_embeddings = ScaledEmbedding(config.type_vocab_size, width, std)
        self.relative_attention_bias = RelativePositionBias(config) if config.relative_attention_num_buckets else None
        for module in self.modules():
            if isinstance(module, ElectraSelfAttention):
                module.__class__ = MclSelfAttention  # the same parameters, drawn as ELECTRA draws them
        cheapen_dropout(self)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        document_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...] | BaseModelOutputWithCrossAttentions:
        """As [`~transformers.ElectraModel`]'s, and:

        Args:
            document_ids (`LongTensor` of shape `(batch, length)`, *optional*): numbers, from 0 up, of the documents of
                packed rows. Tokens attend to those with their own number alone, and positions, if not given, restart
                where it changes: the hidden states are those of each document alone.

        Raises:
            UserError: rows longer than the model has positions for; `document_ids` with an attention mask that is not
                `(batch, length)`; or an attention function that cannot add the bias, or not keep documents apart, such
                as Flash Attention.
        """
        given = input_ids if input_ids is not None else inputs_embeds
        shape = given.shape if given is not None else None  # ELECTRA says what is missing
        if shape is not None and position_ids is None:
            check_length(self.config, shape[1])
        implementation = self.config._attn_implementation
        _check_attention(self.config, implementation, document_ids is not None)
        if self.relative_attention_bias is not None and shape is not None and implementation == "flex_attention":
            # Flex reads an additive mask of the first head only; it takes the bias by itself, for every row.
            kwargs["position_bias"] = self.relative_attention_bias(shape[1]).expand(shape[0], -1, -1, -1)
        if document_ids is not None:
            position_ids = positions_in_documents(document_ids) if position_ids is None else position_ids
            attention_mask = document_mask(self.config, document_ids, attention_mask, self.dtype)
        return super().forward(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs)

    def _create_attention_masks(
        self, attention_mask: Any, encoder_attention_mask: Any, embedding_output: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """ELECTRA's masks, with the relative bias folded in once for all layers where attention takes it so."""
        if self.relative_attention_bias is None or self.config._attn_implementation not in ("eager", "sdpa"):
            return super()._create_attention_masks(
                attention_mask, encoder_attention_mask, embedding_output, *args, **kwargs
            )
        bias = self.relative_attention_bias(embedding_output.shape[1])
        if attention_mask is None:
            return bias, encoder_attention_mask
        if attention_mask.dim() == 2:
            attention_mask = attention_mask[:, None, None, :].bool()
        if attention_mask.dtype == torch.bool:
            return torch.where(attention_mask, bias, lowest(bias)), encoder_attention_mask
        return attention_mask + bias, encoder_attention_mask


class _MclEncoder(MclPreTrainedModel):
    """Puts our encoder into a head class of ELECTRA's, the next in line."""

    electra: Any

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.electra = MclModel(config)
        self.post_init()


class _MclLabelled(_MclEncoder):
    """Puts our encoder into a head class of ELECTRA's that takes `labels`, and has its loss add up over batches."""

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> Any:
        """As ELECTRA's, and:

        Args:
            num_items_in_batch (`int` or scalar `Tensor`, *optional*): labels, but -100, of all the batches of an
                optimizer step, as the [`~transformers.Trainer`] counts them; the loss is this batch's part of their
                mean.
        """
        given = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        outputs = super().forward(*given, labels=labels, **{**kwargs, "return_dict": True})
        return _part_of_step(outputs, labels, num_items_in_batch)


def _part_of_step(outputs: Any, labels: Tensor | None, items: Tensor | int | None) -> Any:
    """Outputs whose loss, the mean over this batch's `labels`, is divided by all `items` of the step instead."""
    if labels is not None and items is not None:
        outputs.loss = outputs.loss * (labels.ne(-100).sum() / items)
    return outputs


class MclForSequenceClassification(_MclLabelled, ElectraForSequenceClassification):
    """The discriminator under ELECTRA's sequence classification or regression head."""

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.classifier.activation = get_activation(config.classifier_activation)


class MclForTokenClassification(_MclLabelled, ElectraForTokenClassification):
    """The discriminator under ELECTRA's token classification head."""


class MclForQuestionAnswering(_MclEncoder, ElectraForQuestionAnswering):  # type: ignore[misc]
    """The discriminator under ELECTRA's extractive question answering head."""


class MclForMultipleChoice(_MclLabelled, ElectraForMultipleChoice):
    """The discriminator under ELECTRA's multiple choice head."""


class MclDiscriminator(_MclLabelled, ElectraForPreTraining):
    """The discriminator and its head for replaced tokens: `logits` `(batch, length)`, positive where replaced."""

    discriminator_predictions: Any

    _keys_to_ignore_on_load_unexpected: Any = [r"^generator\.", r"^course_predictions\."]

    def __init__(self, config: MclConfig):
        super().__init__(config)
        if config.detection_head_type != "electra":
            self.discriminator_predictions = detection_head(config)
            self.post_init()


class MclGenerator(_MclEncoder, ElectraForMaskedLM):
    """A masked language model of the shape its configuration gives; the pair's generator."""

    _keys_to_ignore_on_load_unexpected: Any = []

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.layer_mixture = None
        if config.generator_prediction_layers:
            self.layer_mixture = LayerMixture(config)
            self.post_init()
            maybe_install_capturing_hooks(self.electra)  # now: installing them cannot be compiled, using them can

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """As [`~transformers.ElectraForMaskedLM`]'s: `labels` `(batch, length)`, -100 where nothing is predicted;
        `num_items_in_batch` as of task heads."""
        given = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        if self.layer_mixture is None:
            outputs = super().forward(*given, labels=labels, **{**kwargs, "return_dict": True})
            return _part_of_step(outputs, labels, num_items_in_batch)
        outputs = self.electra(*given, **{**kwargs, "output_hidden_states": True})
        logits = self.generator_lm_head(self._features(self._states(outputs)))
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        states, attentions = outputs.hidden_states, outputs.attentions
        outputs = MaskedLMOutput(loss=loss, logits=logits, hidden_states=states, attentions=attentions)
        return _part_of_step(outputs, labels, num_items_in_batch)

    def _states(self, outputs: Any) -> Tensor:
        """Hidden states that the predictions are made from, `(layers, batch, length, hidden)`."""
        return torch.stack([outputs.hidden_states[layer] for layer in self.config.generator_prediction_layers or []])

    def _features(self, states: Tensor) -> Tensor:
        """What is projected to the vocabulary, of `states` `([layers, ]batch, length, hidden)`."""
        features = self.generator_predictions(states)
        return features if self.layer_mixture is None else self.layer_mixture(states, features)

    def logits_at(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        positions: Tensor,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """Vocabulary logits `(batch, slots, vocabulary)` at `positions` `(batch, slots)` alone.

        The projection to the vocabulary costs more than the rest of a small generator, hence only where it is needed.
        """
        several: dict[str, Any] = {} if self.layer_mixture is None else {"output_hidden_states": True}
        outputs = self.electra(input_ids, attention_mask, document_ids=document_ids, **several)
        hidden = self._states(outputs) if several else outputs.last_hidden_state
        rows = positions.unsqueeze(-1).expand(*hidden.shape[:-2], -1, hidden.shape[-1])
        return self.generator_lm_head(self._features(hidden.gather(-2, rows)))


class MclForMaskedLM(MclPreTrainedModel):
    """The generator of a pair, as a masked language model of its own. Saves and loads the pair's `generator.` keys."""

    # Not "generator": loading would put that before the discriminator's keys, and find them fitting.
    base_model_prefix = "generator.electra"
    _keys_to_ignore_on_load_unexpected: Any = [
        r"^electra\.",
        r"^discriminator_predictions\.",
        r"^course_predictions\.",
    ]

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.generator = MclGenerator(config.generator_config())
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> MclForMaskedLM:
        """As any model's. A pair's checkpoint holds shared embeddings once, under the discriminator's name: they are
        read from there."""
        config = kwargs.get("config")
        if not isinstance(config, PreTrainedConfig):  # remote code may be imported twice, with two classes MclConfig
            hub = {k: v for k, v in kwargs.items() if k in hooks.HUB_ARGUMENTS}
            config = MclConfig.from_pretrained(config or pretrained_model_name_or_path, **hub)
        # Named one by one: saving reverses the mapping, and a mere prefix would also fit `embeddings_project`.
        names = SHARING[str(config.generator_shares)].of_ours
        if names:
            kwargs.setdefault("key_mapping", {rf"^electra\.({names})": r"generator.electra.\1"})
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """As any model's; the head, its bias, and both configurations agree."""
        tokens = new_size(self.config.vocab_size, new_num_tokens, pad_to_multiple_of)
        resize(self.generator, tokens, mean_resizing=mean_resizing)
        self.config.vocab_size = tokens
        embeddings: Any = self.get_input_embeddings()
        return embeddings

    def get_output_embeddings(self) -> nn.Module:
        return self.generator.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.generator.set_output_embeddings(value)

    def get_input_embeddings(self) -> nn.Module:
        return self.generator.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.generator.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """As [`~transformers.ElectraForMaskedLM`]'s: `labels` `(batch, length)`, -100 where nothing is predicted."""
        return self.generator(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, labels=labels, **kwargs
        )
