"""Configuration of an MCL pair: one discriminator, one generator, and the courses they take."""

# Without `from __future__ import annotations`: `strict` reads the types of the fields, and cannot read text.

import copy
import difflib
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import ElectraConfig

from ..errors import UserError
from . import hooks

__all__ = ["COURSES", "DISCRIMINATOR_LOSSES", "LOSS_NAMES", "OBJECTIVES", "MclConfig"]

# The self-supervision courses, and for each its losses in the order they are computed: the generator's, the
# discriminator's, the generator's correction, the discriminator's correction. Insertion has an answer for
# neither the generator nor a correction: an inserted slot has no original token.
COURSES: dict[str, tuple[str | None, str, str | None, str | None]] = {
    "rtd": ("mlm", "rtd", "re_mlm", "re_rtd"),
    "std": ("slm", "std", "re_slm", "re_std"),
    "itd": (None, "itd", None, None),
}

# Weights of the whole method: 1 for a generator's loss, 50 for a discriminator's, as in ELECTRA and COCO-LM.
_MCL_WEIGHTS = {
    "mlm": 1.0,
    "slm": 1.0,
    "re_mlm": 1.0,
    "re_slm": 1.0,
    "rtd": 50.0,
    "std": 50.0,
    "itd": 50.0,
    "re_rtd": 50.0,
    "re_std": 50.0,
}
LOSS_NAMES: tuple[str, ...] = tuple(_MCL_WEIGHTS)
DISCRIMINATOR_LOSSES = ("rtd", "std", "itd", "re_rtd", "re_std")

OBJECTIVES: dict[str, dict[str, float]] = {
    "mcl": _MCL_WEIGHTS,
    "electra": {name: _MCL_WEIGHTS[name] if name in ("mlm", "rtd") else 0.0 for name in LOSS_NAMES},
}


@strict
class MclConfig(ElectraConfig):
    r"""
    Configuration of [`MclForPreTraining`] and of every model opened from its checkpoints.

    It takes every field of [`~transformers.ElectraConfig`], which describe the discriminator, and the following.

    Args:
        objective (`str`, *optional*):
            `"mcl"` or `"electra"`: a set of `loss_weights`. Read at construction and not stored.
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
            `"sampled"`: every row one course, each course as many rows as the others; a third of the compute.
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
        generator_shares (`str`, *optional*, defaults to `"token"`):
            What the generator shares with the discriminator: `"token"` embeddings (paper), or `"all"` of the embedding
            layer, positions, segments and normalisation included (google-research/electra).
        generator_hidden_size, generator_num_hidden_layers, generator_num_attention_heads, generator_intermediate_size
        (`int`, *optional*, defaults to 0):
            Shape of the generator. 0 (the default) stands for ELECTRA-small's: a quarter of the discriminator's width
            at its depth.
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
    generator_shares: str = "token"
    generator_prediction_layers: list[int] | None = None
    classifier_activation: str = "gelu"
    detection_head_type: str = "electra"
    detection_heads: str = "per_course"
    mask_ratio: float = 0.15
    swap_ratio: float = 0.15
    insert_ratio: float = 0.15
    correction_average: str = "all"
    course_schedule: str = "all"
    correction_rows: float | int = 1.0
    document_attention: bool = False
    loss_weights: dict[str, Any] | None = None  # numbers: checked below, with an error that names the loss

    def __post_init__(self, **kwargs: Any) -> None:
        objective = OBJECTIVES[_known("objective", kwargs.pop("objective", "mcl"), OBJECTIVES)]
        weights = objective if self.loss_weights is None else self.loss_weights
        for name in weights:
            _known("loss_weights", name, LOSS_NAMES)
        self.loss_weights = {name: weights.get(name, 0.0) for name in LOSS_NAMES}
        for size in ("hidden_size", "num_attention_heads", "intermediate_size"):
            setattr(self, f"generator_{size}", getattr(self, f"generator_{size}") or max(getattr(self, size) // 4, 1))
        self.generator_num_hidden_layers = self.generator_num_hidden_layers or self.num_hidden_layers
        super().__post_init__(**kwargs)
        self._check()

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As any configuration's, repositories of fairseq's included."""
        return super().get_config_dict(hooks.locate(pretrained_model_name_or_path, **kwargs), **kwargs)

    def _check(self) -> None:
        for name in ("mask_ratio", "swap_ratio", "insert_ratio"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise UserError(f"{name}={getattr(self, name)} must lie between 0 and 1, both excluded")
        self._check_ranges()
        _known("detection_heads", self.detection_heads, ("per_course", "shared"))
        _known("detection_head_type", self.detection_head_type, ("electra", "layer_norm", "linear"))
        _known("relative_attention_bias_type", self.relative_attention_bias_type, ("t5", "coco_lm"))
        _known("classifier_activation", self.classifier_activation, ("gelu", "tanh"))
        _known("generator_shares", self.generator_shares, ("token", "all"))
        _known("course_schedule", self.course_schedule, ("all", "sampled", "joint"))
        if self.course_schedule == "joint" and any(self.weights[name] for name in LOSS_NAMES if name[:3] == "re_"):
            raise UserError("course_schedule='joint' has no corrections: give re_mlm, re_slm, re_rtd, re_std weight 0")
        _known("correction_average", self.correction_average, ("all", "own"))
        for name, weight in self.weights.items():
            if not isinstance(weight, float | int) or not 0.0 <= weight < float("inf"):
                raise UserError(f"loss_weights[{name!r}]={weight} must be a finite number, 0 or more")
        if not any(self.weights.values()):
            raise UserError("loss_weights are all 0: nothing would be learnt; give at least one loss a weight")
        if not self.tie_word_embeddings:
            raise UserError("tie_word_embeddings=False: what the two networks share is said by generator_shares")
        if self.is_decoder:
            raise UserError(
                "is_decoder=True: the models of this package are encoders, whose attention sees both sides"
            )
        self._check_shape()

    def _check_ranges(self) -> None:
        if self.insert_ratio > 0.5:
            raise UserError(f"insert_ratio={self.insert_ratio} must be at most 0.5: every slot needs a gap of its own")
        if not 0.0 < self.correction_rows <= 1.0:
            raise UserError(
                f"correction_rows={self.correction_rows} must be above 0 and at most 1; to have no corrections, give "
                "their losses a weight of 0"
            )
        if self.generator_dropout is not None and not 0.0 <= self.generator_dropout < 1.0:
            raise UserError(
                f"generator_dropout={self.generator_dropout} must lie between 0 and 1, the latter excluded"
            )

    def _check_shape(self) -> None:
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
        """`loss_weights`, all nine of them."""
        return self.loss_weights or {}

    @property
    def objective(self) -> str:
        """The objective whose weights these are, or `"custom"`. Setting it sets `loss_weights`."""
        return next((name for name, weights in OBJECTIVES.items() if weights == self.loss_weights), "custom")

    @objective.setter
    def objective(self, name: str) -> None:
        self.loss_weights = dict(OBJECTIVES[_known("objective", name, OBJECTIVES)])

    @property
    def active_courses(self) -> tuple[str, ...]:
        """Self-supervision courses with a weight, their corrections counted in, in the order they are run."""
        return tuple(c for c, names in COURSES.items() if any(self.weights.get(name or "") for name in names))

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
                "initializer_range": 0.05,
                "position_initializer_range": 0.001,
                "relative_attention_initializer_range": 2.0,
                **overrides,
            }
        )

    @classmethod
    def small(cls, **overrides: Any) -> "MclConfig":
        """ELECTRA-small's pair (Clark et al. 2020, table 6, and google-research/electra): 12 layers of 256, a
        generator of a quarter of the width, embeddings of 128; with MCL's relative position bias."""
        return cls(**{"generator_shares": "all", **overrides})

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


def _known(name: str, value: str, choices: Any) -> str:
    """`value`, if it is one of `choices`; otherwise an error that names the nearest."""
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), list(choices), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
    raise UserError(f"{name}: unknown name {value!r}; {hint}")
