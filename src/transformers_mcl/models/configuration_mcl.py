"""Configuration of an MCL pair: one discriminator, one generator, and the courses they take."""

# Without `from __future__ import annotations`: `strict` reads the types of the fields, and cannot read text.

import copy
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, ElectraConfig, PreTrainedConfig

from ..errors import UserError, check_name
from ..method.courses import COURSES, OBJECTIVES, all_losses, known_weights
from ..method.schedules import SCHEDULES, Curriculum
from ..ranges import check_configuration
from . import hooks
from .backbones import check_backbone, embedding_width, family_of, sibling
from .sharing import SHARING

__all__ = ["MclConfig"]


@strict
class MclConfig(ElectraConfig):
    r"""
    Configuration of [`MclForPreTraining`] and of every model opened from its checkpoints.

    It takes every field of [`~transformers.ElectraConfig`], which describe the discriminator, and the following.

    Args:
        objective (`str`, *optional*):
            A set of `loss_weights`: `"mcl"`, `"electra"`, or `"mlm"`, masked language modelling alone, with
            `generator_shares="encoder"` unless another is given. Read at construction and not stored.
        loss_weights (`dict[str, float]`, *optional*):
            Weights of the nine losses `mlm, slm, re_mlm, re_slm, rtd, std, itd, re_rtd, re_std`. A name left out has
            weight 0, and a weight of 0 removes the loss and its compute. Defaults to the weights of `objective`.
        mask_ratio, swap_ratio, insert_ratio (`float`, *optional*, defaults to 0.15):
            Share of a row's ordinary tokens that is masked (paper), swapped, or joined by an inserted slot (our
            choice).
        correction_average (`str`, *optional*, defaults to `"all"`):
            What the sums of the correction losses are divided by. `"all"`: the operated positions for re-generation
            and the non-padding tokens for re-discrimination, which are known before the discriminator has judged, so
            that gradient accumulation is exact. `"own"`: their own cells of the notebook. The paper does not say.
        course_schedule (`str`, *optional*, defaults to `"all"`):
            Which rows of a training batch a self-supervision course takes. `"all"` (paper): every course every row.
            `"sampled"`: every row one course, each in its turn, so that over a run each course takes as many rows as
            the others, whatever the batch size; a third of the compute.
            `"joint"`: all courses in one row at once, at places of their own, in one pass of each network; each judges
            what the others left alone. There are no corrections then.
        correction_rows (`float`, *optional*, defaults to 1.0):
            Share of a course's rows that its corrections are run on in training (paper: all).
        detection_heads (`str`, *optional*, defaults to `"per_course"`):
            `"per_course"`: one detection head for each self-supervision course, used by its correction too;
            `"shared"`: a single one.
        detection_head_type (`str`, *optional*, defaults to `"electra"`):
            `"electra"`: a dense layer, its activation and a projection to one logit; `"layer_norm"`: normalised before
            the projection (unilm); `"linear"`: the projection alone (COCO-LM).
        backbone_config, generator_backbone_config (`PreTrainedConfig` or `dict`, *optional*):
            Of a pair of another family: the configuration of the discriminator's encoder, and that of the generator,
            any that transformers opens as a masked language model; a dictionary names its `model_type`. The generator
            is by default of the same family and width with a third of the layers. The sizes of this configuration are
            then the encoder's, `max_position_embeddings` the tokens of the longest row that both take, and there is no
            relative position bias.
        generator_shares (`str`, *optional*):
            What the generator shares with the discriminator: `"token"` embeddings (paper, the default), `"all"` of the
            embedding layer, positions, segments and normalisation included (google-research/electra), the whole
            `"encoder"`, whose shape the generator then has, `"none"` (the
            default of a generator that is not trained), or `"gdes"`: the discriminator's token embeddings are the
            generator's, without gradient, plus a difference of its own (gradient-disentangled embedding sharing,
            DeBERTaV3).
        generator_trainable (`bool`, *optional*, defaults to `True`):
            Whether the generator learns; if not, its losses have no weight and it has no dropout.
        generator_temperature (`float`, *optional*, defaults to 1.0):
            What the generator's logits are divided by before a token is sampled.
        generator_temperature_decay (`float`, *optional*):
            Share of a training run in which the distance of the temperature to 1 falls by the factor e
            (after Fast-ELECTRA, which lowers it over the run); by default the temperature stays as it is.
        generator_hidden_size, generator_num_hidden_layers (`int`, *optional*, defaults to 0):
            Shape of the generator. 0 (the default) stands for ELECTRA-small's: a quarter of the discriminator's width
            at its depth.
        generator_num_attention_heads, generator_intermediate_size (`int`, *optional*, defaults to 0):
            The same for its heads and the width of its feed-forward layers.
        generator_dropout (`float`, *optional*):
            Dropout of the generator's hidden states and attention; defaults to the discriminator's.
        generator_prediction_layers (`list[int]`, *optional*):
            Layers, counted from 1, whose predictions the generator mixes with learned shares (AMOS); the last layer's
            alone by default.
        classifier_activation (`str`, *optional*, defaults to `"gelu"`):
            Of the sequence classification head: `"gelu"` (ELECTRA) or `"tanh"` (fairseq).
        relative_attention_num_buckets (`int`, *optional*, defaults to 32):
            Buckets of the T5-style relative position bias, shared by all layers; 0 turns it off.
        relative_attention_max_distance (`int`, *optional*, defaults to 128):
            Distance, in tokens, from which all pairs share the last bucket of their side.
        relative_attention_bias_type (`str`, *optional*, defaults to `"t5"`):
            How distances fall into buckets: `"t5"`, or `"coco_lm"`, as in COCO-LM and AMOS (`docs/converting.md`).
        relative_attention_initializer_range (`float`, *optional*):
            Standard deviation of the bias at initialisation; defaults to `initializer_range`.
        position_initializer_range (`float`, *optional*):
            Standard deviation of the position and segment embeddings at initialisation; defaults to
            `initializer_range`. Where the bias already tells positions apart, smaller is better for short runs
            (measured in `docs/demo.md`).
        document_attention (`bool`, *optional*, defaults to `False`):
            Whether pre-training keeps the documents of a packed row apart: each begins with `[CLS]`, tokens attend to
            their own document alone, and positions are counted from its start (`docs/data.md`, *Documents apart*).
            Read by [`MclForPreTraining`] alone: a model opened for another task reads its rows whole.
        whole_word_mask (`bool`, *optional*, defaults to `False`):
            Whether training masks and swaps whole words, as the rows say which these are (`word_starts`); evaluations
            take single tokens all the same, so that runs compare (`docs/data.md`, *Whole words*).
        cls_token_id, sep_token_id, mask_token_id (`int`):
            Special tokens, with `pad_token_id` (defaults: those of BERT's 30,522 WordPieces).

    Raises:
        UserError: a value outside its range, an unknown loss, course, head or sharing name.
    """

    model_type = "mcl"
    # A pre-training output is a loss and its parts: nothing to gather as predictions.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["losses", "metrics", "records"]

    cls_token_id: int = 101
    sep_token_id: int = 102
    mask_token_id: int = 103
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    relative_attention_bias_type: str = "t5"
    relative_attention_initializer_range: float | int | None = None
    position_initializer_range: float | int | None = None
    generator_hidden_size: int = 0
    generator_num_hidden_layers: int = 0
    generator_num_attention_heads: int = 0
    generator_intermediate_size: int = 0
    generator_dropout: float | int | None = None
    generator_shares: str | None = None
    generator_trainable: bool = True
    generator_temperature: float | int = 1.0
    generator_temperature_decay: float | int | None = None
    backbone_config: Any = None  # PreTrainedConfig, when made
    generator_backbone_config: Any = None
    generator_prediction_layers: list[int] | None = None
    classifier_activation: str = "gelu"
    detection_head_type: str = "electra"
    detection_heads: str = "per_course"
    mask_ratio: float | int = 0.15
    swap_ratio: float | int = 0.15
    insert_ratio: float | int = 0.15
    correction_average: str = "all"
    course_schedule: str = "all"
    correction_rows: float | int = 1.0
    document_attention: bool = False
    whole_word_mask: bool = False
    loss_weights: dict[str, Any] | None = None  # numbers: checked below, with an error that names the loss

    def __post_init__(self, **kwargs: Any) -> None:
        if kwargs.get("auto_map") == hooks.DOOR:  # of the file, and no property of the model
            del kwargs["auto_map"]
        objective = kwargs.pop("objective", None)
        if objective is not None:
            check_name("objective", objective, OBJECTIVES)
        if objective is not None and self.loss_weights is not None:
            raise UserError(
                f"objective={objective!r} names a set of loss_weights, and there are others: give one of both"
            )
        if self.loss_weights is None:
            self.objective = "mcl" if objective is None else objective
        else:
            self.loss_weights = known_weights(self.loss_weights)
        if self.generator_shares is None:
            trained = "encoder" if objective == "mlm" else "token"
            self.generator_shares = trained if self.generator_trainable else "none"
        check_name("generator_shares", self.generator_shares, SHARING)
        self.backbone_config = _configuration(self.backbone_config, "backbone_config")
        self.generator_backbone_config = _configuration(self.generator_backbone_config, "generator_backbone_config")
        if self.backbone_config is not None:
            self._adopt(self.backbone_config)
        for size in ("hidden_size", "num_attention_heads", "intermediate_size"):
            setattr(self, f"generator_{size}", getattr(self, f"generator_{size}") or max(getattr(self, size) // 4, 1))
        if SHARING[self.generator_shares].one_shape:
            for size in ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers"):
                setattr(self, f"generator_{size}", getattr(self, size))
        self.generator_num_hidden_layers = self.generator_num_hidden_layers or self.num_hidden_layers
        super().__post_init__(**kwargs)
        self.check()

    def _adopt(self, backbone: PreTrainedConfig) -> None:
        """What is true of the encoder is true of the pair."""
        if SHARING[str(self.generator_shares)].one_shape:
            self.generator_backbone_config = copy.deepcopy(backbone)
        elif self.generator_backbone_config is None:
            self.generator_backbone_config = sibling(backbone)
        self.relative_attention_num_buckets = 0
        for name in _MIRRORED:
            if (value := getattr(backbone, name, None)) is not None:
                setattr(self, name, value)
        self.embedding_size = embedding_width(backbone)
        halves = (backbone, self.generator_backbone_config)
        self.max_position_embeddings = min(family_of(half).longest_row(half) for half in halves)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As any configuration's; what the caller changes of the encoder of another family is changed there, too."""
        given, asked = dict(kwargs), kwargs.pop("return_unused_kwargs", False)
        config, unused = super().from_dict(config_dict, return_unused_kwargs=True, **kwargs)
        if (backbone := config.backbone_config) is not None:
            for name in given.keys() & (backbone.to_dict().keys() - _PLACES):
                setattr(backbone, name, given[name])
                unused.pop(name, None)
        return (config, unused) if asked else config

    def native_config(self, generator: bool = False) -> PreTrainedConfig:
        """The configuration of one network of another family, with what a caller has set on this one.

        Args:
            generator: whether the generator's, not the discriminator's.
        """
        config: PreTrainedConfig = copy.deepcopy(self.generator_backbone_config if generator else self.backbone_config)
        for name in _OF_CALLERS:
            setattr(config, name, getattr(self, name))
        # "sdpa" is what a model leaves there where nothing was asked for, and not every family has it.
        config._attn_implementation = None if self._attn_implementation == "sdpa" else self._attn_implementation
        return config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As any configuration's, repositories of fairseq's included."""
        return super().get_config_dict(hooks.locate(pretrained_model_name_or_path, **kwargs), **kwargs)

    def to_json_file(self, json_file_path: Any, use_diff: bool = True) -> None:
        """As any configuration's, and the code that opens it beside it."""
        opened_with = vars(self).get("auto_map")
        self.auto_map = hooks.bring_code(self, Path(json_file_path).parent)
        try:
            super().to_json_file(json_file_path, use_diff)
        finally:
            self.auto_map = opened_with
            if opened_with is None:
                del self.auto_map

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoConfig") -> None:
        """As any configuration's; the package's own code, which `bring_code` writes, is not copied by this."""
        if cls.__module__ != __name__ or __name__.startswith("transformers_modules."):
            super().register_for_auto_class(auto_class)

    def check(self) -> None:
        """Whether a model can be made of it; models ask this, too, since fields may have changed.

        Raises:
            UserError: a value outside its range, an unknown name.
        """
        check_configuration(self)
        for half, prefix in ((self.backbone_config, ""), (self.generator_backbone_config, "generator_")):
            if half is not None:
                check_configuration(half, prefix)
        self._check_ranges()
        for name, choices in _CHOICES.items():
            check_name(name, getattr(self, name), choices)
        self._check_courses(self.curriculum())
        if not self.tie_word_embeddings:
            raise UserError("tie_word_embeddings=False: what the two networks share is said by generator_shares")
        if self.is_decoder:
            raise UserError(
                "is_decoder=True: the models of this package are encoders, whose attention sees both sides"
            )
        self._check_generator()
        if self.backbone_config is None:
            self._check_shape()

    def _check_courses(self, curriculum: Curriculum) -> None:
        if not curriculum.schedule.together:
            return
        losses, schedule = all_losses(), f"course_schedule={self.course_schedule!r}"
        if corrections := [name for name in curriculum.weights if losses[name].corrects]:
            raise UserError(f"{schedule} has no corrections: give {', '.join(corrections)} weight 0")
        if len(inserting := [course.name for course in curriculum.courses if course.inserts]) > 1:
            raise UserError(f"{schedule} takes one course that inserts, not {', '.join(inserting)}")

    def _check_ranges(self) -> None:
        if not 0.0 < self.correction_rows <= 1.0:
            raise UserError(
                f"correction_rows={self.correction_rows} must be above 0 and at most 1; to have no corrections, give "
                "their losses a weight of 0"
            )

    def _check_generator(self) -> None:
        sharing = SHARING[str(self.generator_shares)]
        if not self.generator_trainable and sharing.needs_training:
            raise UserError(
                f"generator_shares={self.generator_shares!r}: a generator that is not trained (generator_trainable="
                "False) has embeddings of its own, which the discriminator must not change: use 'none' or 'gdes'"
            )
        if (ours := self.backbone_config) is None or (theirs := self.generator_backbone_config) is None:
            return
        for config, name in ((ours, "backbone_config"), (theirs, "generator_backbone_config")):
            check_backbone(config, name)
        if ours.vocab_size != theirs.vocab_size:
            raise UserError(
                f"the discriminator has a vocabulary of {ours.vocab_size} tokens and the generator one of "
                f"{theirs.vocab_size}: a pair has one; give two that were trained with the same tokenizer"
            )
        widths = embedding_width(ours), embedding_width(theirs)
        if sharing.one_width and widths[0] != widths[1]:
            raise UserError(
                f"generator_shares={self.generator_shares!r}: the discriminator's token embeddings are {widths[0]} "
                f"wide and the generator's {widths[1]}: share nothing (generator_shares='none'), or take a generator "
                f"of width {widths[0]}"
            )
        for config in (ours, theirs):
            if self.document_attention and not family_of(config).reads_documents(config):
                raise UserError(
                    f"document_attention: the attention of the family {config.model_type!r} cannot keep the documents "
                    "of a row apart: leave it out"
                )

    def _check_shape(self) -> None:
        if self.type_vocab_size < 1:
            raise UserError(f"type_vocab_size={self.type_vocab_size} must be at least 1")
        for side in ("", "generator_"):
            for size in ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers"):
                if getattr(self, side + size) < 1:
                    raise UserError(f"{side}{size}={getattr(self, side + size)} must be at least 1")
            width, heads = getattr(self, f"{side}hidden_size"), getattr(self, f"{side}num_attention_heads")
            if width % heads:
                raise UserError(f"{side}hidden_size={width} must be a multiple of {side}num_attention_heads={heads}")
        depth, layers = self.generator_num_hidden_layers, self.generator_prediction_layers
        if layers is not None and not (layers and all(1 <= layer <= depth for layer in layers)):
            raise UserError(f"generator_prediction_layers={layers} must be layers of the generator: 1 to {depth}")
        buckets, distance = self.relative_attention_num_buckets, self.relative_attention_max_distance
        if buckets < 0 or buckets % 2 or buckets == 2:
            raise UserError(f"relative_attention_num_buckets={buckets} must be 0 (off) or an even number from 4 on")
        if buckets and distance <= buckets // 4:
            raise UserError(
                f"relative_attention_max_distance={distance} must exceed a quarter of "
                f"relative_attention_num_buckets={buckets}: the nearer distances have a bucket each"
            )

    @property
    def weights(self) -> dict[str, float]:
        """`loss_weights`, of all losses of the method and of others that have one; of a generator that is not trained
        none."""
        return self._trained(self.loss_weights or {})

    def _used(self, weights: Mapping[str, float]) -> dict[str, float]:
        return {name: weight for name, weight in self._trained(weights).items() if weight}

    def _trained(self, weights: Mapping[str, float]) -> dict[str, float]:
        losses = all_losses()
        return {
            name: weight if self.generator_trainable or losses[name].detects else 0.0
            for name, weight in weights.items()
        }

    @property
    def objective(self) -> str:
        """The objective whose weights these are, or `"custom"`. Setting it sets `loss_weights`."""
        check_name("course_schedule", self.course_schedule, SCHEDULES)
        used = self._used(self.weights)
        return next((name for name, weights in OBJECTIVES.items() if self._used(weights) == used), "custom")

    @objective.setter
    def objective(self, name: str) -> None:
        check_name("objective", name, OBJECTIVES)
        self.loss_weights = known_weights(OBJECTIVES[name])

    def curriculum(self, weights: Mapping[str, float] | None = None, training: bool = True) -> Curriculum:
        """What is done with a batch: in training as configured, in an evaluation all courses on all rows.

        Args:
            weights: of the losses in use, where training changed them; the configuration's by default.
            training: whether it is training.
        """
        check_name("course_schedule", self.course_schedule, SCHEDULES)
        used = self._used(self.weights if weights is None else weights)
        return Curriculum(
            courses=tuple(course for course in COURSES.values() if course.is_on(used)),
            weights=used,
            ratios={course.name: course.ratio_of(self) for course in COURSES.values()},
            schedule=SCHEDULES[self.course_schedule if training else "all"],
            correction_rows=self.correction_rows if training else 1.0,
            own_cells=self.correction_average == "own",
            max_length=self.max_position_embeddings,
        )

    @property
    def active_courses(self) -> tuple[str, ...]:
        """Self-supervision courses with a weight, their corrections counted in, in the order they are run."""
        return tuple(course.name for course in self.curriculum().courses)

    def generator_config(self) -> "MclConfig":
        """The generator's own configuration: this one with the generator's shape in place of the discriminator's."""
        config = copy.deepcopy(self)
        config.hidden_size = self.generator_hidden_size
        config.num_hidden_layers = self.generator_num_hidden_layers
        config.num_attention_heads = self.generator_num_attention_heads
        config.intermediate_size = self.generator_intermediate_size
        if self.generator_dropout is not None:
            config.hidden_dropout_prob = config.attention_probs_dropout_prob = self.generator_dropout
        return config

    @classmethod
    def tiny(cls, **overrides: Any) -> "MclConfig":
        """A pair for a CPU and a few minutes (our choice; `docs/demo.md` says how it was found).

        What keeps a small model for thousands of steps at predicting the most frequent tokens is that it cannot tell
        its neighbours apart: position embeddings as large as those of words are noise to it. Here they start near 0,
        and a relative bias with a large scale has every head look at some neighbours from the first step on.
        """
        return cls(
            **{
                "embedding_size": 128,
                "hidden_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 8,
                "intermediate_size": 256,
                "generator_hidden_size": 64,
                "generator_num_hidden_layers": 2,
                "generator_num_attention_heads": 8,
                "generator_intermediate_size": 128,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "max_position_embeddings": 128,
                **_SOON_OFF_THE_PLATEAU,
                **overrides,
            }
        )

    @classmethod
    def mini(cls, **overrides: Any) -> "MclConfig":
        """A pair for hours on a CPU, or minutes on a GPU (our choice): ELECTRA-small's width at half its depth, a
        generator of a quarter of the width, no dropout, the courses in turn, and the initial values of `tiny`, for its
        reasons."""
        return cls(
            **{
                "num_hidden_layers": 6,
                "generator_num_attention_heads": 4,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "course_schedule": "sampled",
                **_SOON_OFF_THE_PLATEAU,
                **overrides,
            }
        )

    @classmethod
    def small(cls, **overrides: Any) -> "MclConfig":
        """ELECTRA-small's pair (Clark et al. 2020, table 6, and google-research/electra): 12 layers of 256, a
        generator of a quarter of the width, embeddings of 128; with MCL's relative position bias."""
        shares = "encoder" if overrides.get("objective") == "mlm" else "all"
        return cls(**{"generator_shares": shares, **overrides})

    @classmethod
    def base(cls, **overrides: Any) -> "MclConfig":
        """MCL-base (`docs/method.md`, *Architecture*): BERT-base's shape, a generator of 4 layers of the same width
        that shares token embeddings, relative position bias of 32 buckets up to 128 tokens. The vocabulary is the
        tokenizer's."""
        return cls(
            **{
                "embedding_size": 768,
                "hidden_size": 768,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
                "generator_hidden_size": 768,
                "generator_num_hidden_layers": 4,
                "generator_num_attention_heads": 12,
                "generator_intermediate_size": 3072,
                "layer_norm_eps": 1e-5,
                **overrides,
            }
        )

    @classmethod
    def large(cls, **overrides: Any) -> "MclConfig":
        """COCO-LM-large's shape, the code lineage's own large model (the paper has none): 24 layers of 1024, a
        generator of 4, relative position bias of 128 buckets up to 256 tokens."""
        return cls(
            **{
                "embedding_size": 1024,
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
                "generator_hidden_size": 1024,
                "generator_num_hidden_layers": 4,
                "generator_num_attention_heads": 16,
                "generator_intermediate_size": 4096,
                "relative_attention_num_buckets": 128,
                "relative_attention_max_distance": 256,
                "layer_norm_eps": 1e-5,
                **overrides,
            }
        )


def _configuration(given: Any, name: str) -> PreTrainedConfig | None:
    if given is None or isinstance(given, PreTrainedConfig):
        return given
    fields = dict(given)
    kind = fields.pop("model_type", None)
    if kind not in CONFIG_MAPPING:
        near = difflib.get_close_matches(str(kind), CONFIG_MAPPING.keys(), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(f"{name}: transformers has no model_type {kind!r}{hint}")
    config: PreTrainedConfig = CONFIG_MAPPING[kind](**fields)
    return config


# Initial values of small models that have little time: `MclConfig.tiny` says why.
_SOON_OFF_THE_PLATEAU = {
    "initializer_range": 0.05,
    "position_initializer_range": 0.001,
    "relative_attention_initializer_range": 2.0,
}
# Of the encoder of another family.
_MIRRORED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "initializer_range",
    "type_vocab_size",
    "pad_token_id",
)
# What a task or another caller sets on a configuration, whatever its family.
_OF_CALLERS = ("id2label", "label2id", "problem_type", "output_hidden_states", "output_attentions", "return_dict")
# Not of the encoder, although its configuration has them.
_PLACES = {"name_or_path", "_name_or_path", "dtype", "torch_dtype", "architectures", "transformers_version"}
_PLACES |= {"model_type", *_OF_CALLERS}

_CHOICES: dict[str, Any] = {
    "detection_heads": ("per_course", "shared"),
    "detection_head_type": ("electra", "layer_norm", "linear"),
    "relative_attention_bias_type": ("t5", "coco_lm"),
    "classifier_activation": ("gelu", "tanh"),
    "generator_shares": SHARING,
    "course_schedule": SCHEDULES,
    "correction_average": ("all", "own"),
}
