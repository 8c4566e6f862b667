"""The arguments that say which pair to train."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import yaml
from transformers import ElectraConfig, PreTrainedConfig

from ..errors import UserError
from ..hub.card_arguments import CardArguments
from ..io import YamlLoader, one_line
from ..method.courses import COURSES
from ..models.backbones import undeclared_fields
from ..models.configuration_mcl import MclConfig
from ..models.loading import TRUST_HELP
from ..ranges import check_field

__all__ = ["ModelArguments", "backbone_overrides", "config_overrides"]

_OF_THE_GENERATOR = ("generator_shares", "generator_trainable", "generator_temperature", "generator_temperature_decay")
# Where a value of `config_overrides` goes: into what, by which name, and what types it may have there.
_Place = tuple[dict[str, Any], str, set[Any]]
_RATIO = {float, int}
_BACKBONES = ("backbone_config", "generator_backbone_config")
# Fields of `MclConfig` about the default encoder, which one of another family has in its own configuration.
_OF_OUR_ENCODER = (
    "cls_token_id",
    "sep_token_id",
    "mask_token_id",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "relative_attention_bias_type",
    "relative_attention_initializer_range",
    "position_initializer_range",
    "generator_hidden_size",
    "generator_num_hidden_layers",
    "generator_num_attention_heads",
    "generator_intermediate_size",
    "generator_dropout",
    "generator_prediction_layers",
    "classifier_activation",
)


@dataclass
class ModelArguments(CardArguments):
    """Which pair to train; names as in transformers' `run_mlm.py` where it has them."""

    preset: Literal["tiny", "mini", "small", "base", "large"] | None = field(
        default=None,
        metadata={
            "help": "Shape of the pair and training arguments to go with it (each can be overridden). Without "
            "training text: tiny; with: small. With --backbone it gives the training arguments alone."
        },
    )
    objective: Literal["mcl", "electra", "mlm"] | None = field(
        default=None,
        metadata={
            "help": "mcl: all courses; electra: replaced token detection alone; mlm: masked language modelling of the "
            "encoder itself, or of the generator of a pair to go on from. mcl, or the checkpoint's."
        },
    )
    backbone: str | None = field(
        default=None,
        metadata={
            "help": "Shape of an encoder of another family, with random weights, instead of a preset's: a Hub name, a "
            "folder, or a model type of transformers such as modernbert."
        },
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "An MCL pair to go on from, instead of a preset's random weights."}
    )
    discriminator_name_or_path: str | None = field(
        default=None,
        metadata={"help": "An encoder of any family to go on from; its generator starts new if not given."},
    )
    generator_name_or_path: str | None = field(
        default=None,
        metadata={"help": "A masked language model of the same vocabulary, the generator to go on from with that."},
    )
    generator_init: Literal["new", "layers"] | None = field(
        default=None,
        metadata={
            "help": "A generator that is not given starts new, or as the embeddings, first layers and prediction head "
            "of --discriminator_name_or_path (new)."
        },
    )
    generator_shares: str | None = field(
        default=None,
        metadata={
            "help": "What the generator shares with the discriminator: token, all, encoder, gdes or none (token)."
        },
    )
    generator_trainable: bool | None = field(
        default=None, metadata={"help": "Whether the generator is trained, or samples as it is (true)."}
    )
    generator_temperature: float | None = field(
        default=None, metadata={"help": "Temperature of what the generator samples (1)."}
    )
    generator_temperature_decay: float | None = field(
        default=None,
        metadata={"help": "Share of the run in which its distance to 1 falls to 1/e; constant if not given."},
    )
    tokenizer_name: str | None = field(
        default=None, metadata={"help": "Tokenizer: a Hub name or a folder, as `transformers-mcl tokenizer` makes."}
    )
    config_overrides: str | None = field(
        default=None,
        metadata={
            "help": "Other fields of MclConfig or the backbone's configuration, as name=value,name=value: "
            "num_hidden_layers=6,hidden_act=relu; generator_name=value is the generator's."
        },
    )
    discriminator_weight: float | None = field(
        default=None, metadata={"help": "Weight of each of the objective's discriminator losses (50)."}
    )
    loss_weights: dict[str, float] | None = field(
        default=None, metadata={"help": "Weights that differ from the objective's, as JSON: '{\"re_std\": 0}'"}
    )
    mask_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to mask (0.15)."})
    swap_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to swap (0.15)."})
    insert_ratio: float | None = field(default=None, metadata={"help": "Inserted slots per token (0.15)."})
    attn_implementation: str | None = field(
        default=None, metadata={"help": "eager, sdpa, flex_attention, or without relative bias flash_attention_2."}
    )
    cache_dir: str | None = field(default=None, metadata={"help": "Where downloads and prepared text are kept."})
    model_revision: str = field(default="main", metadata={"help": "Revision of the model and tokenizer on the Hub."})
    token: str | None = field(default=None, metadata={"help": "Token for private repositories of the Hub."})
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Start anew in a folder that holds another run, removing its checkpoints."}
    )

    @property
    def base_checkpoints(self) -> list[str]:
        """What to go on from: none, a pair, a discriminator, a generator, or both.

        Raises:
            UserError: names that do not go together.
        """
        pair, discriminator, generator = (
            self.model_name_or_path,
            self.discriminator_name_or_path,
            self.generator_name_or_path,
        )
        if self.backbone and (pair or discriminator):
            name = "model_name_or_path" if pair else "discriminator_name_or_path"
            raise UserError(
                f"backbone {self.backbone!r} is the shape of a new encoder, and {name} {pair or discriminator!r} has "
                "one: give one of them"
            )
        if generator and not (discriminator or self.backbone):
            raise UserError(
                f"generator_name_or_path {generator!r} alone: give --discriminator_name_or_path too, the half that is "
                "kept and fine-tuned, or --backbone, the shape of a new one"
            )
        if pair and discriminator:
            raise UserError(
                f"model_name_or_path {pair!r} is a pair, and discriminator_name_or_path {discriminator!r} half of "
                "another: give one of them"
            )
        if self.generator_init == "layers" and (generator or not discriminator):
            raise UserError(
                "generator_init='layers' starts the generator as a part of discriminator_name_or_path: "
                + ("leave out generator_name_or_path" if generator else "give this one")
            )
        return [name for name in (pair, discriminator, generator) if name]

    @property
    def hub(self) -> dict[str, Any]:
        """Where configuration, weights and tokenizer alike come from: keywords of `from_pretrained`."""
        given = {"cache_dir": self.cache_dir, "revision": self.model_revision, "token": self.token}
        return {**given, "trust_remote_code": self.trust_remote_code}


def config_overrides(model_args: ModelArguments) -> dict[str, Any]:
    """The fields of [`MclConfig`] that the arguments set.

    Raises:
        UserError: one that there is not.
    """
    changes = _of_flags(model_args)
    kinds = _kinds(MclConfig)
    known = {*kinds, *_ratios()} - {*_kinds(PreTrainedConfig), *_BACKBONES}
    _assign(model_args, {name: (changes, name, kinds.get(name, _RATIO)) for name in known}, "MclConfig")
    return changes


def backbone_overrides(
    model_args: ModelArguments, backbone: PreTrainedConfig, generator: PreTrainedConfig
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the arguments set of a pair on another family: fields of [`MclConfig`], of the discriminator's own
    configuration, and of the generator's.

    Raises:
        UserError: one that there is not.
    """
    changes, ours, its = _of_flags(model_args), dict[str, Any](), dict[str, Any]()
    kinds = _kinds(MclConfig)
    method = {*kinds, *_ratios()} - {*_kinds(ElectraConfig), *_BACKBONES, *_OF_OUR_ENCODER}
    known: dict[str, _Place] = {}
    for prefix, of, config in (("generator_", its, generator), ("", ours, backbone)):
        own = _kinds(type(config))
        known |= {
            f"{prefix}{name}": (of, called, own.get(called, set())) for name, called in _own_names(config).items()
        }
    known |= {name: (changes, name, kinds.get(name, _RATIO)) for name in method}
    _assign(model_args, known, f"MclConfig or {type(backbone).__name__}")
    return changes, ours, its


def _of_flags(model_args: ModelArguments) -> dict[str, Any]:
    """The fields of `MclConfig` that are arguments themselves."""
    given = {name: getattr(model_args, name, None) for name in (*_ratios(), *_OF_THE_GENERATOR)}
    changes = {name: value for name, value in given.items() if value is not None}
    if changes.get("generator_trainable") is False:
        changes.setdefault("generator_shares", "none")
    return changes


def _ratios() -> list[str]:
    return [course.ratio_name for course in COURSES.values()]


def _own_names(config: PreTrainedConfig) -> dict[str, str]:
    """The fields of a family's configuration, and their other names, by the name."""
    own = {field.name for field in fields(config)} - {field.name for field in fields(PreTrainedConfig)}
    return {**{name: name for name in own | undeclared_fields(config)}, **config.attribute_map}


def _kinds(config: type[PreTrainedConfig]) -> dict[str, set[Any]]:
    """The types that the fields of a configuration have, by name; none of those that are only text."""
    return {field.name: {*(get_args(field.type) or [field.type])} for field in fields(config)}


def _assign(model_args: ModelArguments, known: Mapping[str, _Place], whose: str) -> None:
    """Puts each value of `config_overrides` where `known` says."""
    for item in _split(model_args.config_overrides or ""):
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals or name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"config_overrides: {item!r} is not name=value of a field of {whose}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        changes, own, kinds = known[name]
        if own in changes:
            raise UserError(f"config_overrides: {item!r}, and {name} stands there twice, or is an argument of its own")
        changes[own] = value = _value(item, text, kinds)
        check_field(own, value, name.removesuffix(own))


def _split(text: str) -> list[str]:
    """Between the commas, but for those inside a list or mapping."""
    items, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and not depth:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items if item.strip()]


def _value(item: str, text: str, kinds: set[Any]) -> Any:
    """What is written there, as a number of one of these types if it is one that it can be."""
    try:
        value = yaml.load(text, YamlLoader)
    except yaml.YAMLError as error:
        raise UserError(f"config_overrides: {item!r} cannot be read: {one_line(error)}") from error
    if isinstance(value, str) and float in kinds and str not in kinds:
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, float) and float not in kinds and int in kinds and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds and int not in kinds:
        return float(value)
    return value
