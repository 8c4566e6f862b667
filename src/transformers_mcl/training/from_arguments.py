"""What a run begins with, as its arguments ask: the tokenizer, the configuration and the pair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..data import check_tokenizer, load_tokenizer, vocabulary_size
from ..errors import UserError
from ..method.courses import OBJECTIVES, all_losses
from ..models.configuration_mcl import MclConfig
from ..models.pretraining import MclForPreTraining
from ..models.sharing import SHARING
from .initialization import (
    DISCRIMINATOR,
    GENERATOR,
    check_vocabulary,
    electra_fields,
    find_pair,
    first_layers,
    load_pair,
    pair_fields,
    pair_from_sources,
    sources_fields,
)
from .model_arguments import ModelArguments, config_overrides
from .native_sources import (
    find_backbone,
    find_half,
    is_default,
    is_model_type,
    native_fields,
    native_pair,
    native_pair_fields,
)
from .preflight import refusing

__all__ = ["DEMO_FOLDER", "build_config", "build_pair", "open_tokenizer"]

DEMO_FOLDER = Path(__file__).parents[1] / "data" / "demo"


def open_tokenizer(model_args: ModelArguments, demo: bool) -> PreTrainedTokenizerBase:
    """The tokenizer that is named, or that of the backbone or checkpoint, or with `demo` that of the package."""
    _sources(model_args)  # which can be wrong whatever the tokenizer is
    names = [model_args.tokenizer_name, *model_args.base_checkpoints, str(DEMO_FOLDER / "tokenizer") if demo else None]
    if (backbone := model_args.backbone) and not is_model_type(backbone):
        names.insert(1, backbone)
    name = next((name for name in names if name), None)
    if name is None:
        raise UserError(
            "no tokenizer: give --tokenizer_name, or make one from your text with "
            "`transformers-mcl tokenizer --train_file ... --vocab_size ... --output_dir ...`"
        )
    tokenizer = load_tokenizer(name, **model_args.hub)
    check_tokenizer(tokenizer)
    return tokenizer


def build_config(model_args: ModelArguments, preset: str | None, tokenizer: PreTrainedTokenizerBase) -> MclConfig:
    """The configuration of the preset, the backbone or the checkpoint, with the tokenizer's ids and what the arguments
    change.

    Args:
        preset: its shape is taken if neither a backbone nor a checkpoint is named.
    """
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    build = MclConfig
    if model_args.backbone or model_args.base_checkpoints:
        start, changes = _start(model_args, tokenizer)
        backbone = start.get("backbone_config")
        vocab_size = start["vocab_size"] if backbone is None else backbone.vocab_size
        check_vocabulary(tokenizer, model_args.base_checkpoints, vocab_size, **model_args.hub)
        for name, value in ids.items():
            if start.setdefault(name, value) != value:
                raise UserError(
                    f"tokenizer {tokenizer.name_or_path!r}: {name} is {value}, but the model's is {start[name]}"
                )
    else:
        start, changes = {"vocab_size": vocabulary_size(tokenizer), **ids}, config_overrides(model_args)
        build = getattr(MclConfig, str(preset))
    if model_args.objective == "mlm" and not model_args.model_name_or_path:
        changes.setdefault("generator_shares", "encoder")
    weights = OBJECTIVES[model_args.objective] if model_args.objective else start.get("loss_weights")
    weights = weights or OBJECTIVES["mcl"]
    if (weight := model_args.discriminator_weight) is not None:
        detects = {name for name, loss in all_losses().items() if loss.detects}
        weights = {name: weight if given and name in detects else given for name, given in weights.items()}
    for name, value in ids.items():
        if changes.get(name, value) != value:
            raise UserError(f"config_overrides: {name}={changes[name]}, but that of the tokenizer is {value}")
    with refusing("config_overrides"):
        changes["loss_weights"] = {**weights, **(changes.get("loss_weights") or {}), **(model_args.loss_weights or {})}
        config = build(**{**start, **changes})
    _check_one_encoder(model_args, config, start.get("generator_shares"))
    if not config.generator_trainable and not _has_generator(model_args):
        raise UserError(
            "generator_trainable=False: a generator that starts new would stay as it is: give "
            "--generator_name_or_path, or --generator_init layers"
        )
    if not model_args.base_checkpoints:  # a checkpoint's vocabulary grows
        check_tokenizer(tokenizer, config.vocab_size)
    return config


def _check_one_encoder(model_args: ModelArguments, config: MclConfig, shared: str | None) -> None:
    """Where the generator is the discriminator's encoder, nothing else can be asked of it, nor named for it; nor can a
    pair that has two, and shares what `shared` says, come to have one."""
    if not SHARING[str(config.generator_shares)].one_shape:
        return
    encoder = config.backbone_config or config
    given = re.findall(r"generator_(\w+)", model_args.config_overrides or "")
    said = next((f"config_overrides: generator_{name}" for name in given if hasattr(encoder, name)), None)
    if name := model_args.generator_name_or_path:
        said = f"{GENERATOR} {name!r}"
    if (pair := model_args.model_name_or_path) and not SHARING[str(shared)].one_shape:
        said = f"model_name_or_path {pair!r}, whose generator has an encoder of its own,"
    if said:
        raise UserError(
            f"{said} does not go with generator_shares='{config.generator_shares}', where the generator is the "
            "discriminator's encoder: leave it out, or choose another --generator_shares"
        )


def _has_generator(model_args: ModelArguments) -> bool:
    named = model_args.model_name_or_path or model_args.generator_name_or_path
    return bool(named) or model_args.generator_init == "layers"


def _start(model_args: ModelArguments, tokenizer: PreTrainedTokenizerBase) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the configuration that the backbone, or what to go on from, has; and those that change."""
    hub, discriminator = model_args.hub, model_args.discriminator_name_or_path
    config, its = _sources(model_args)
    if name := model_args.model_name_or_path:
        if config.backbone_config is not None:
            return native_pair_fields(config, model_args)
        changes = config_overrides(model_args)
        return pair_fields(name, changes, **hub), changes
    if not is_default(config) or (its is not None and (not discriminator or not is_default(its))):
        return native_fields(model_args, tokenizer, config, its)
    changes = config_overrides(model_args)
    if discriminator:
        fields = sources_fields(discriminator, model_args.generator_name_or_path, changes, **hub)
    else:
        named = not is_model_type(str(model_args.backbone)) or config.model_type == "electra"
        # The shape alone; what it was trained for, and on which vocabulary, is not part of it.
        fields = {name: value for name, value in electra_fields(config).items() if named and "_token_id" not in name}
        fields |= {"loss_weights": None, "vocab_size": vocabulary_size(tokenizer)}
    if model_args.generator_init == "layers":
        fields |= first_layers(fields)
    return fields, changes


def _sources(model_args: ModelArguments) -> tuple[Any, Any]:
    """The configurations of what the arguments name: the pair, the discriminator or the backbone; and the generator.

    Raises:
        UserError: there is none, or no pair can be made of such.
    """
    hub = model_args.hub
    pair, discriminator = model_args.model_name_or_path, model_args.discriminator_name_or_path
    if pair and model_args.base_checkpoints:
        return find_pair(pair, **hub), None
    first = None
    if discriminator:
        first = find_half(DISCRIMINATOR, discriminator, **hub)
    elif model_args.backbone:
        first = find_backbone(model_args.backbone, **hub)
    generator = model_args.generator_name_or_path
    return first, find_half(GENERATOR, generator, **hub) if generator and first is not None else None


def build_pair(model_args: ModelArguments, config: MclConfig) -> MclForPreTraining:
    """The pair as it begins."""
    arguments = {"attn_implementation": model_args.attn_implementation, **model_args.hub}
    if model_args.model_name_or_path:
        return load_pair(model_args.model_name_or_path, config, **arguments)
    if config.backbone_config is not None:
        return native_pair(config, model_args)
    if source := model_args.discriminator_name_or_path:
        generator, init = model_args.generator_name_or_path, model_args.generator_init
        return pair_from_sources(config, source, generator, generator_init=init, **arguments)
    with refusing("model"):
        pair: MclForPreTraining = MclForPreTraining._from_config(
            config, attn_implementation=model_args.attn_implementation
        )
    return pair
