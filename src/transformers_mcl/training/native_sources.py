"""A pair of encoders of transformers' own: its configurations, and its weights, of checkpoints or new.

`hub` is `cache_dir`, `revision`, `token` and the like, of `from_pretrained`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    ElectraConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from ..data import vocabulary_size
from ..errors import UserError
from ..models.backbones import check_backbone, native_class, sibling
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, open_model, open_whole
from ..models.pretraining import MclForPreTraining
from .initialization import (
    DISCRIMINATOR,
    GENERATOR,
    give_discriminator,
    load_source,
    refused,
    start_generator,
)
from .model_arguments import ModelArguments, backbone_overrides
from .preflight import refusing

__all__ = [
    "find_backbone",
    "find_half",
    "is_default",
    "is_model_type",
    "native_fields",
    "native_pair",
    "native_pair_fields",
]

# What a configuration says of the checkpoint it came with, and of its task.
_NOT_THE_ENCODERS = {"architectures", "dtype", "transformers_version", "_name_or_path"}
_NOT_THE_ENCODERS |= {"id2label", "label2id", "problem_type"}


def is_default(config: PreTrainedConfig) -> bool:
    """Whether it is of the default encoder: an ELECTRA, with a relative position bias or without."""
    return isinstance(config, ElectraConfig) and getattr(config, "backbone_config", None) is None


def find_backbone(name: str, **hub: Any) -> PreTrainedConfig:
    """The configuration that `--backbone` names: of a folder, a model type of transformers, or the Hub.

    Raises:
        UserError: there is none, or no pair can be made of such encoders.
    """
    if is_model_type(name):
        config = AutoConfig.for_model(name)
    else:
        try:
            config = load_config(name, "backbone", **hub)
        except UserError as error:
            near = difflib.get_close_matches(name.lower(), CONFIG_MAPPING.keys(), n=1)
            raise UserError(f"{error}; did you mean the model type {near[0]!r}?" if near else str(error)) from error
    if not is_default(config):
        _half(config, f"backbone {name!r}")
    return config


def find_half(argument: str, name: str, **hub: Any) -> PreTrainedConfig:
    """The configuration of the checkpoint that an argument names.

    Raises:
        UserError: there is none, or no pair can be made of such encoders.
    """
    config = load_config(name, argument, **hub)
    if not is_default(config):
        _half(config, f"{argument} {name!r}", generator=argument == GENERATOR)
    return config


def is_model_type(name: str) -> bool:
    """Whether `--backbone` names a type rather than a folder or a repository."""
    return name in CONFIG_MAPPING and not Path(name).exists()


def _half(config: Any, where: str, generator: bool = False) -> PreTrainedConfig:
    """One half's own configuration, of a checkpoint of that half or of a pair.

    Raises:
        UserError: no pair can be made of such encoders.
    """
    if isinstance(config, MclConfig) and config.backbone_config is not None:
        config = config.generator_backbone_config if generator else config.backbone_config
    elif isinstance(config, MclConfig):
        if config.relative_attention_num_buckets or config.generator_prediction_layers:
            raise UserError(
                f"{where} has what transformers' ELECTRA has not, a relative position bias or a mixture of layers: it "
                "goes with another such encoder alone"
            )
        own = config.generator_config() if generator else config
        config = ElectraConfig(**{field.name: getattr(own, field.name) for field in fields(ElectraConfig)})
    else:
        check_backbone(config, where)
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(f"{where} is quantized, and cannot be trained: give the checkpoint that it was made of")
    return config


def native_fields(
    model_args: ModelArguments,
    tokenizer: PreTrainedTokenizerBase,
    discriminator: PreTrainedConfig,
    generator: PreTrainedConfig | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of `MclConfig` of a new pair, or one of a discriminator and perhaps a generator, and those that the
    arguments change.

    Args:
        discriminator, generator: the configurations of the checkpoints, or the backbone's, that the arguments name.

    Raises:
        UserError: a source that is no such half, two that cannot be one pair, or a field that there is not or that the
            weights cannot follow.
    """
    trained = model_args.discriminator_name_or_path is not None
    named = model_args.discriminator_name_or_path or model_args.backbone
    ours = f"{DISCRIMINATOR if trained else 'backbone'} {named!r}"
    theirs = f"{GENERATOR} {model_args.generator_name_or_path!r}"
    backbone = _half(discriminator, ours)
    its = None if generator is None else _half(generator, theirs, generator=True)
    changes, of_backbone, of_generator = backbone_overrides(model_args, backbone, its or backbone)
    if trained:
        _check_follows("AutoModel", backbone, of_backbone)
    else:  # with the ids at once: transformers speaks of those beyond the vocabulary
        of_backbone = {"vocab_size": its.vocab_size if its else vocabulary_size(tokenizer), **of_backbone}
    backbone = _with_ids(backbone, tokenizer, DISCRIMINATOR if trained else None, of_backbone)
    if its is None:
        depth = backbone.attribute_map.get("num_hidden_layers", "num_hidden_layers")
        smaller = backbone if depth in of_generator else sibling(backbone)
        its = _changed(smaller, of_generator)
    else:
        _check_follows("AutoModelForMaskedLM", its, of_generator, "generator_")
        its = _with_ids(its, tokenizer, GENERATOR, of_generator)
        if its.vocab_size != backbone.vocab_size:
            raise UserError(
                f"vocab_size is {backbone.vocab_size} in {ours} and {its.vocab_size} in {theirs}: a pair has one "
                "vocabulary; give two that were trained with the same tokenizer"
            )
    method: dict[str, Any] = {}
    if isinstance(discriminator, MclConfig) and trained:  # its courses are what they were
        _check_head(discriminator, changes)
        method = {name: value for name, value in discriminator.to_dict().items() if name not in _NOT_THE_ENCODERS}
    return {**method, "backbone_config": backbone, "generator_backbone_config": its}, changes


def native_pair_fields(pair: MclConfig, model_args: ModelArguments) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of `MclConfig` of a pair of such encoders to go on from, and those that the arguments change.

    Raises:
        UserError: a field that there is not, or that the pair's weights cannot follow.
    """
    ours, its = pair.backbone_config, pair.generator_backbone_config
    assert isinstance(ours, PreTrainedConfig) and isinstance(its, PreTrainedConfig)
    changes, of_backbone, of_generator = backbone_overrides(model_args, ours, its)
    _check_follows("AutoModel", ours, of_backbone)
    _check_follows("AutoModelForMaskedLM", its, of_generator, "generator_")
    _check_head(pair, changes)
    halves = {"backbone_config": _changed(ours, of_backbone), "generator_backbone_config": _changed(its, of_generator)}
    return {**pair.to_dict(), **halves}, changes


def _check_head(pair: MclConfig, changes: Mapping[str, Any]) -> None:
    kind = pair.detection_head_type
    if changes.get("detection_head_type", kind) != kind:
        raise refused("detection_head_type", changes["detection_head_type"], kind)


def _changed(config: PreTrainedConfig, changes: Mapping[str, Any]) -> PreTrainedConfig:
    """The configuration with other fields, and without what is not the encoder's.

    Raises:
        UserError: a value that the family cannot have.
    """
    depth = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    had: Any = getattr(config, depth, None)
    layers = changes.get(depth, had)
    if layers != had and not (isinstance(layers, int) and layers >= 1):
        raise UserError(f"config_overrides: {depth}={layers} must be a whole number of 1 or more")
    if layers != had and layers < had:
        config = sibling(config, layers)
    values = {name: value for name, value in config.to_dict().items() if name not in _NOT_THE_ENCODERS}
    if layers != had and layers > had:  # what each layer is, one by one: the family says it of the others, too
        values = {name: value for name, value in values.items() if not (isinstance(value, list) and len(value) == had)}
    with refusing("config_overrides"):
        return type(config).from_dict({**values, **changes})


def _with_ids(
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    source: str | None,
    changes: Mapping[str, Any],
) -> PreTrainedConfig:
    """The configuration with the special tokens of `tokenizer`, where it has such fields, and with `changes`.

    Args:
        source: the argument whose weights the configuration is of, if any; they know padding by its number.

    Raises:
        UserError: the weights have another number for padding.
    """
    pad = getattr(config, "pad_token_id", None)
    if source and pad is not None and pad != tokenizer.pad_token_id:
        raise UserError(
            f"tokenizer {tokenizer.name_or_path!r}: pad_token_id is {tokenizer.pad_token_id}, but {pad} in the "
            f"configuration of {source}: give the tokenizer that it was trained with"
        )
    stand_in = {"bos": tokenizer.cls_token_id, "eos": tokenizer.sep_token_id}
    ids = {}
    for kind in ("pad", "bos", "eos", "cls", "sep", "mask"):
        if getattr(config, field := f"{kind}_token_id", None) is not None:
            own = getattr(tokenizer, field)
            ids[field] = stand_in.get(kind) if own is None else own
    return _changed(config, {**ids, **changes})


def _check_follows(auto: str, config: PreTrainedConfig, changes: Mapping[str, Any], prefix: str = "") -> None:
    """Refuses changes after which the weights of a checkpoint would not fit, or mean something else.

    Args:
        auto: the Auto class of the half, whose weights' shapes are compared.
        prefix: of the names, in the message.
    """
    heads = config.attribute_map.get("num_attention_heads", "num_attention_heads")
    shapes = _shapes(auto, config) if changes else {}
    for name, value in changes.items():
        had = getattr(config, name, None)
        if value != had and (name == heads or _shapes(auto, _changed(config, {name: value})) != shapes):
            raise refused(prefix + name, value, had)


def _shapes(auto: str, config: PreTrainedConfig) -> dict[str, torch.Size]:
    with refusing("config_overrides"), torch.device("meta"):
        return {name: weight.shape for name, weight in native_class(auto, config)(config).state_dict().items()}


def native_pair(config: MclConfig, model_args: ModelArguments) -> MclForPreTraining:
    """The pair of `config`, with the weights of the sources that the arguments name, in float32.

    A generator that is not given starts new, but for its embeddings where they are as wide as the discriminator's, or
    with `generator_init="layers"` as the discriminator's first layers and the prediction head of its checkpoint.

    Args:
        config: with the `native_fields` of the same arguments.

    Raises:
        UserError: a source's weights cannot be read, are not those of its half, or do not fit.
    """
    with refusing("model"):
        pair: MclForPreTraining = MclForPreTraining._from_config(
            config, attn_implementation=model_args.attn_implementation
        )
    name, hub = model_args.discriminator_name_or_path, model_args.hub
    source = _open_discriminator(name, hub) if name else None
    if generator := model_args.generator_name_or_path:
        pair.generator.load_state_dict(_open_generator(generator, hub).state_dict())
    elif name and source is not None:
        start_generator(pair, source, name, model_args.generator_init == "layers", hub)
    if source is not None:
        give_discriminator(source, pair, compares=bool(generator))
    return pair


def _open_discriminator(name: str, hub: Mapping[str, Any]) -> Any:
    """An encoder, of which the pooler alone may be new; or the model that has it and its detection heads."""
    config, where = load_config(name, DISCRIMINATOR, **hub), f"{DISCRIMINATOR} {name!r}"
    if is_default(config):
        return load_source(DISCRIMINATOR, name, hub)
    kind = MclForPreTraining if isinstance(config, MclConfig) else AutoModel
    opened = open_model(kind, name, where, dtype=torch.float32, **hub)
    if missing := [key for key in opened.missing if "pooler" not in key]:
        raise UserError(f"{where} lacks {len(missing)} of its weights, {missing[0]} for one")
    return opened.model


def _open_generator(name: str, hub: Mapping[str, Any]) -> Any:
    """A masked language model, whole."""
    config, where = load_config(name, GENERATOR, **hub), f"{GENERATOR} {name!r}"
    if is_default(config):
        return load_source(GENERATOR, name, hub)
    if isinstance(config, MclConfig):
        return open_whole(MclForPreTraining, name, where, dtype=torch.float32, **hub).generator
    return open_whole(AutoModelForMaskedLM, name, where, dtype=torch.float32, **hub)
