"""The MCL models: transformers' ELECTRA with a relative position bias, and the pair that pre-trains it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
    ElectraPreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithCrossAttentions, MaskedLMOutput
from transformers.models.electra.modeling_electra import ElectraDiscriminatorPredictions
from transformers.utils.generic import ModelOutput

from . import courses as c
from ._registration import announce
from .configuration_mcl import COURSES, MclConfig
from .errors import UserError
from .metrics import detection_histogram, generator_counts

__all__ = [
    "CourseRecord",
    "MclDiscriminator",
    "MclForMaskedLM",
    "MclForMultipleChoice",
    "MclForPreTraining",
    "MclForPreTrainingOutput",
    "MclForQuestionAnswering",
    "MclForSequenceClassification",
    "MclForTokenClassification",
    "MclModel",
    "MclPreTrainedModel",
]


class ScaledEmbedding(nn.Embedding):
    """An embedding with a standard deviation of its own at initialisation; `None` for the model's."""

    def __init__(self, num_embeddings: int, embedding_dim: int, initializer_range: float | None):
        super().__init__(num_embeddings, embedding_dim)
        self.initializer_range = initializer_range


class RelativePositionBias(ScaledEmbedding):
    """T5's bidirectional relative position bias: one learned number a head and bucket, shared by all layers.

    The released code lineage of MCL has it on top of learned absolute positions (`docs/method.md`, *Architecture*).
    """

    def __init__(self, config: MclConfig):
        super().__init__(
            config.relative_attention_num_buckets,
            config.num_attention_heads,
            config.relative_attention_initializer_range,
        )
        self.max_distance = config.relative_attention_max_distance

    def bucket(self, distance: Tensor) -> Tensor:
        """Bucket of each `distance` (key position minus query position), any shape, in `[0, buckets)`.

        Half of the buckets are for keys on the right. Of each half, one half holds one distance each, the other grows
        logarithmically up to `max_distance`, beyond which all share the last.
        """
        half = self.num_embeddings // 2
        exact = half // 2
        far = distance.abs()
        # The order of operations is T5's, so that no distance falls into another bucket by rounding.
        scale = torch.log(torch.tensor(self.max_distance / exact, dtype=torch.float64)).item()
        logarithmic = exact + (torch.log(far.float() / exact) / scale * (half - exact)).long()
        near = torch.where(far < exact, far, logarithmic.clamp(max=half - 1))
        return (distance > 0).long() * half + near

    def forward(self, length: int) -> Tensor:
        """The bias of every query on every key, `(1, heads, length, length)`."""
        device = self.weight.device
        # Each of the 2 * length - 1 distances is looked up once; row i of the square is a window into them.
        by_distance = super().forward(self.bucket(torch.arange(1 - length, length, device=device)))
        return by_distance.T.unfold(1, length, 1).flip(1).unsqueeze(0)


class MclPreTrainedModel(ElectraPreTrainedModel):
    """Base of all MCL models: initialisation, and which keys of a pair's checkpoint are another model's."""

    config_class = MclConfig
    config: MclConfig
    _no_split_modules: ClassVar[list[str]] = ["ElectraLayer", "ElectraEmbeddings"]
    _keys_to_ignore_on_load_unexpected: ClassVar[Any] = [
        r"^generator\.",
        r"^discriminator_predictions\.",
        r"^course_predictions\.",
    ]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ScaledEmbedding) and module.initializer_range is not None:
            init.normal_(module.weight, mean=0.0, std=module.initializer_range)
        else:
            super()._init_weights(module)

    def _check_and_adjust_attn_implementation(self, attn_implementation: str | None, *args: Any, **kwargs: Any) -> str:
        _refuse_flash(self.config, attn_implementation)
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)


def _refuse_flash(config: MclConfig, attn_implementation: str | None) -> None:
    if config.relative_attention_num_buckets and "flash" in (attn_implementation or ""):
        raise UserError(
            f"attn_implementation={attn_implementation!r} cannot add the relative position bias "
            f"(relative_attention_num_buckets={config.relative_attention_num_buckets}): use 'sdpa', 'flex_attention' or "
            "'eager', or pre-train with relative_attention_num_buckets=0"
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
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...] | BaseModelOutputWithCrossAttentions:
        """As [`~transformers.ElectraModel`]'s.

        Raises:
            UserError: rows longer than the model has positions for, or Flash Attention with the bias on.
        """
        shape = input_ids.shape if input_ids is not None else inputs_embeds.shape if inputs_embeds is not None else None
        if shape is not None and position_ids is None and shape[1] > self.config.max_position_embeddings:
            raise UserError(
                f"a sequence of {shape[1]} tokens is longer than the model's "
                f"max_position_embeddings={self.config.max_position_embeddings}: truncate it"
            )
        implementation = self.config._attn_implementation
        _refuse_flash(self.config, implementation)
        if self.relative_attention_bias is not None and shape is not None and implementation == "flex_attention":
            # Flex reads an additive mask of the first head only; it takes the bias by itself, for every row.
            kwargs["position_bias"] = self.relative_attention_bias(shape[1]).expand(shape[0], -1, -1, -1)
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
            return torch.where(attention_mask, bias, torch.finfo(bias.dtype).min), encoder_attention_mask
        return attention_mask + bias, encoder_attention_mask


class _MclEncoder(nn.Module):
    """Puts our encoder into a head class of ELECTRA's."""

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.electra = MclModel(config)
        self.post_init()


class MclForSequenceClassification(_MclEncoder, MclPreTrainedModel, ElectraForSequenceClassification):
    """The discriminator under ELECTRA's sequence classification or regression head."""


class MclForTokenClassification(_MclEncoder, MclPreTrainedModel, ElectraForTokenClassification):
    """The discriminator under ELECTRA's token classification head."""


class MclForQuestionAnswering(_MclEncoder, MclPreTrainedModel, ElectraForQuestionAnswering):
    """The discriminator under ELECTRA's extractive question answering head."""


class MclForMultipleChoice(_MclEncoder, MclPreTrainedModel, ElectraForMultipleChoice):
    """The discriminator under ELECTRA's multiple choice head."""


class MclDiscriminator(_MclEncoder, MclPreTrainedModel, ElectraForPreTraining):
    """The discriminator and its head for replaced tokens: `logits` `(batch, length)`, positive where replaced."""

    _keys_to_ignore_on_load_unexpected: ClassVar[Any] = [r"^generator\.", r"^course_predictions\."]


class MclGenerator(_MclEncoder, MclPreTrainedModel, ElectraForMaskedLM):
    """A masked language model of the shape its configuration gives; the pair's generator."""

    _keys_to_ignore_on_load_unexpected: ClassVar[Any] = []

    def logits_at(self, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
        """Vocabulary logits `(batch, slots, vocabulary)` at `positions` `(batch, slots)` alone.

        The projection to the vocabulary costs more than the rest of a small generator, hence only where it is needed.
        """
        hidden = self.electra(input_ids, attention_mask=attention_mask).last_hidden_state
        chosen = hidden.gather(1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        return self.generator_lm_head(self.generator_predictions(chosen))


class MclForMaskedLM(MclPreTrainedModel):
    """The generator of a pair, as a masked language model of its own. Saves and loads the pair's `generator.` keys."""

    # Not "generator": loading would put that before the discriminator's keys, and find them fitting.
    base_model_prefix = "generator.electra"
    _keys_to_ignore_on_load_unexpected: ClassVar[Any] = [
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
        if not isinstance(config, MclConfig):
            hub = {k: v for k, v in kwargs.items() if k in _HUB_ARGUMENTS}
            config = MclConfig.from_pretrained(config or pretrained_model_name_or_path, **hub)
        shared = "" if config.generator_shares == "all" else "word_embeddings"
        kwargs.setdefault(
            "key_mapping", {rf"^electra\.embeddings\.{shared}": f"generator.electra.embeddings.{shared}"}
        )
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def get_input_embeddings(self) -> nn.Module:
        return self.generator.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.generator.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.generator.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.generator.set_output_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        self.generator.config.vocab_size = self.config.vocab_size
        return embeddings

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


_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


@dataclass
class CourseRecord:
    """What happened in one self-supervision course; all tensors without gradient (shapes in [`~courses.Corruption`]).

    Attributes:
        corruption: what the generator read, and where it was operated on.
        samples (`LongTensor` of shape `(batch, slots)`): what the generator filled in.
        discriminator_input (`LongTensor` of shape `(batch, new_length)`): the corrupted row with the samples in place.
        labels (`BoolTensor` of shape `(batch, new_length)`): True where replaced (for insertion: inserted).
        logits (`Tensor` of shape `(batch, new_length)`): the discriminator's verdict, positive = replaced.
        notebook: the four cells; `None` for insertion.
        regeneration_input, rediscrimination_input (`LongTensor` of shape `(batch, length)`): the second inputs.
    """

    corruption: c.Corruption
    samples: Tensor
    discriminator_input: Tensor | None = None
    labels: Tensor | None = None
    logits: Tensor | None = None
    notebook: c.Notebook | None = None
    regeneration_input: Tensor | None = None
    rediscrimination_input: Tensor | None = None


@dataclass
class MclForPreTrainingOutput(ModelOutput):
    """Output of [`MclForPreTraining`].

    Attributes:
        loss: the weighted sum of the losses, a scalar with gradient.
        losses: the losses by name, scalars without gradient and without weight.
        metrics: sums without gradient that add up across batches; see `transformers_mcl.metrics`.
        records: what happened in each course, with `output_records=True`.
    """

    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    metrics: dict[str, Tensor] | None = None
    records: dict[str, CourseRecord] | None = None


class MclForPreTraining(MclPreTrainedModel):
    """A discriminator and a generator that share embeddings, and the courses that train them.

    The discriminator's encoder lies under `electra.`, as in every task head, so that a checkpoint of the pair opens as any
    of them; the generator lies under `generator.`. Takes clean token ids and does all the courses itself, on the device.
    """

    _keys_to_ignore_on_load_unexpected: ClassVar[Any] = []
    # The loss is a mean over this batch: a Trainer has to divide it by its accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.electra = MclModel(config)
        # The head for replaced tokens, and with shared heads the one for every course.
        self.discriminator_predictions = ElectraDiscriminatorPredictions(config)
        own_heads = [k for k in config.active_courses if k != "rtd" and config.detection_heads == "per_course"]
        self.course_predictions = nn.ModuleDict({k: ElectraDiscriminatorPredictions(config) for k in own_heads})
        self.generator = MclGenerator(config.generator_config())
        shared = [n for n, _ in self.electra.embeddings.named_parameters()]
        if config.generator_shares == "token":
            shared = ["word_embeddings.weight"]
        self._tied_weights_keys = {f"generator.electra.embeddings.{n}": f"electra.embeddings.{n}" for n in shared}
        # May be changed in training, to start a course later; a loss must not gain a weight the configuration lacks.
        self.loss_weights: dict[str, float] = dict(config.weights)
        self.post_init()
        # The halves ignore each other's keys; the pair must miss none and have none left over.
        self._keys_to_ignore_on_load_unexpected = set()

    def get_output_embeddings(self) -> nn.Module:
        return self.generator.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.generator.set_output_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        self.generator.config.vocab_size = self.config.vocab_size
        return embeddings

    @property
    def active_courses(self) -> tuple[str, ...]:
        """The self-supervision courses that `loss_weights` asks for now, in the order they are run."""
        return tuple(k for k, names in COURSES.items() if any(self._weight(name) for name in names))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        courses: Collection[str] | None = None,
        generator: torch.Generator | None = None,
        output_records: bool = False,
        return_loss: bool = True,
    ) -> MclForPreTrainingOutput:
        """Runs the courses on clean rows.

        Args:
            input_ids (`LongTensor` of shape `(batch, length)`): clean rows; special tokens are never operated on.
            attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding. Leave it out for packed rows,
                which have none: attention is faster without.
            token_type_ids: accepted, since tokenizers give it, and not used: pre-training has one segment.
            courses (`Collection[str]`, *optional*): the self-supervision courses to run, each with its self-correction;
                all active ones by default. The sum of the losses of `("rtd",)`, `("std",)`, `("itd",)`, called in this
                order, is the loss of one call for all, and a backward after each needs half the memory or less.
            generator (`torch.Generator`, *optional*): source of every draw but dropout's, on the device of `input_ids`.
            output_records (`bool`): also return what happened in each course.
            return_loss: accepted for [`~transformers.Trainer`], whose evaluation looks for the name; always on.

        Raises:
            UserError: an unknown course in `courses`.
        """
        operable = self._operable(input_ids, attention_mask)
        output = MclForPreTrainingOutput(loss=None, losses={}, metrics={}, records={} if output_records else None)
        for course in self._chosen(courses):
            record = self._course(course, input_ids, attention_mask, operable, generator, output)
            if output_records:
                output.records[course] = record
        if output.loss is None:
            output.loss = torch.zeros((), device=input_ids.device)
        return output

    def _chosen(self, courses: Collection[str] | None) -> tuple[str, ...]:
        if courses is None:
            return self.active_courses
        if unknown := set(courses) - set(COURSES):
            raise UserError(f"courses: unknown {', '.join(sorted(unknown))}; choose from {', '.join(COURSES)}")
        return tuple(k for k in self.active_courses if k in courses)

    def _weight(self, name: str | None) -> float:
        return self.loss_weights.get(name, 0.0) if name is not None else 0.0

    def _operable(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """True at ordinary tokens: not special, not padding."""
        config = self.config
        operable = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        for special in (config.pad_token_id, config.cls_token_id, config.sep_token_id, config.mask_token_id):
            if special is not None:
                operable = operable & (input_ids != special)
        return operable

    def _course(
        self,
        course: str,
        clean: Tensor,
        attention_mask: Tensor | None,
        operable: Tensor,
        generator: torch.Generator | None,
        output: MclForPreTrainingOutput,
    ) -> CourseRecord:
        """One self-supervision course and its self-correction; adds their losses and metrics to `output`."""
        generate, detect, regenerate, rediscriminate = COURSES[course]
        corruption = self._corrupt(course, clean, attention_mask, operable, generator)
        mask, positions, valid = corruption.attention_mask, corruption.positions, corruption.valid

        with torch.set_grad_enabled(torch.is_grad_enabled() and self._weight(generate) > 0):
            logits = self.generator.logits_at(corruption.input_ids, mask, positions)
        samples = c.sample_tokens(logits, generator)
        if generate is not None:
            output.metrics[f"{course}_generator"] = generator_counts(logits, samples, corruption.labels, valid)
            if self._weight(generate):
                self._add(output, generate, _cross_entropy(logits, corruption.labels), valid, valid.sum())
        record = CourseRecord(corruption, samples)
        if not any(self._weight(name) for name in (detect, regenerate, rediscriminate)):
            return record

        judged = record.discriminator_input = c.substitute(corruption.input_ids, positions, samples, valid)
        if course == "itd":
            record.labels = c.substitute(torch.zeros_like(judged), positions, valid.long(), valid).bool()
        else:
            record.labels = judged != clean
        present = torch.ones_like(judged, dtype=torch.bool) if mask is None else mask.bool()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._weight(detect) > 0):
            verdict = self._detect(course, judged, mask)
        record.logits = verdict.detach()
        output.metrics[f"{course}_detection"] = detection_histogram(record.logits, record.labels, present)
        if self._weight(detect):
            self._add(output, detect, _binary_cross_entropy(verdict, record.labels), present, present.sum())
        if regenerate is not None:
            self._correct(course, clean, mask, present, record, output)
        return record

    def _correct(
        self,
        course: str,
        clean: Tensor,
        mask: Tensor | None,
        present: Tensor,
        record: CourseRecord,
        output: MclForPreTrainingOutput,
    ) -> None:
        """The self-correction course: the generator and the discriminator again, where the notebook sends them."""
        _, _, regenerate, rediscriminate = COURSES[course]
        corruption, own = record.corruption, self.config.correction_average == "own"
        notebook = record.notebook = c.correction_notebook(record.labels, record.logits, mask)
        output.metrics[f"{course}_notebook"] = torch.stack(
            [cell.sum() for cell in (notebook.pos1, notebook.pos2, notebook.pos3, notebook.pos4)]
        )
        record.regeneration_input = c.regeneration_input(clean, corruption.input_ids, notebook)
        record.rediscrimination_input = c.rediscrimination_input(clean, record.discriminator_input, notebook)
        if self._weight(regenerate):
            caught = corruption.valid & notebook.pos4.gather(1, corruption.positions)
            logits = self.generator.logits_at(record.regeneration_input, mask, corruption.positions)
            count = caught.sum() if own else corruption.valid.sum()
            self._add(output, regenerate, _cross_entropy(logits, corruption.labels), caught, count)
        if self._weight(rediscriminate):
            wrong = notebook.pos2 | notebook.pos3
            verdict = self._detect(course, record.rediscrimination_input, mask)
            count = wrong.sum() if own else present.sum()
            self._add(output, rediscriminate, _binary_cross_entropy(verdict, record.labels), wrong, count)

    def _corrupt(
        self,
        course: str,
        clean: Tensor,
        attention_mask: Tensor | None,
        operable: Tensor,
        generator: torch.Generator | None,
    ) -> c.Corruption:
        config = self.config
        if course == "itd":
            return c.insert_masks(
                clean,
                operable,
                config.insert_ratio,
                config.mask_token_id,
                max_length=config.max_position_embeddings,
                attention_mask=attention_mask,
                pad_token_id=config.pad_token_id,
                generator=generator,
            )
        if course == "std":
            corruption = c.swap_tokens(clean, operable, config.swap_ratio, generator=generator)
        else:
            corruption = c.mask_tokens(
                clean, operable, config.mask_ratio, config.mask_token_id, generator=generator
            )
        corruption.attention_mask = attention_mask
        return corruption

    def _detect(self, course: str, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Detection logits `(batch, length)` of the course's head, positive = replaced."""
        hidden = self.electra(input_ids, attention_mask=attention_mask).last_hidden_state
        own = course in self.course_predictions
        return (self.course_predictions[course] if own else self.discriminator_predictions)(hidden)

    def _add(
        self, output: MclForPreTrainingOutput, name: str, values: Tensor, chosen: Tensor, count: Tensor
    ) -> None:
        """Adds to `output` the loss `name`: the sum of `values` where `chosen`, divided by `count`."""
        total = values.masked_fill(~chosen, 0.0).sum()
        loss = total / count.clamp(min=1)
        output.losses[name] = loss.detach()
        output.metrics[name] = torch.stack([total.detach(), count.to(total.dtype)])
        weighted = self._weight(name) * loss
        output.loss = weighted if output.loss is None else output.loss + weighted


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of `logits` `(batch, slots, vocabulary)` in float32, by slot; 0 where the label is -100."""
    losses = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape)


def _binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of `logits` `(batch, length)` in float32, by token."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")


for _auto, _model in (
    (AutoModel, MclModel),
    (AutoModelForPreTraining, MclForPreTraining),
    (AutoModelForMaskedLM, MclForMaskedLM),
    (AutoModelForSequenceClassification, MclForSequenceClassification),
    (AutoModelForTokenClassification, MclForTokenClassification),
    (AutoModelForQuestionAnswering, MclForQuestionAnswering),
    (AutoModelForMultipleChoice, MclForMultipleChoice),
):
    _auto.register(MclConfig, _model, exist_ok=True)
announce(__name__)
