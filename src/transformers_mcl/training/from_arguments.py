"""What a run begins with, as its arguments ask: the tokenizer, the configuration and the pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..data import check_tokenizer, load_tokenizer
from ..errors import UserError
from ..method.courses import OBJECTIVES, all_losses
from ..models.configuration_mcl import MclConfig
from ..models.pretraining import MclForPreTraining
from .initialization import check_vocabulary, load_pair, pair_fields, pair_from_sources, sources_fields
from .model_arguments import ModelArguments, config_overrides

__all__ = ["DEMO_FOLDER", "build_config", "build_pair", "open_tokenizer"]

DEMO_FOLDER = Path(__file__).parents[1] / "data" / "demo"


def open_tokenizer(model_args: ModelArguments, demo: bool) -> PreTrainedTokenizerBase:
    """The tokenizer that is named, or that of the checkpoint to go on from, or with `demo` that of the package."""
    demo_name = str(DEMO_FOLDER / "tokenizer") if demo else None
    name = model_args.tokenizer_name or next(iter(model_args.base_checkpoints), demo_name)
    if name is None:
        raise UserError(
            "no tokenizer: give --tokenizer_name, or make one from your text with "
            "`transformers-mcl tokenizer --train_file ... --vocab_size ... --output_dir ...`"
        )
    tokenizer = load_tokenizer(name, **model_args.hub)
    check_tokenizer(tokenizer)
    return tokenizer


def build_config(model_args: ModelArguments, preset: str | None, tokenizer: PreTrainedTokenizerBase) -> MclConfig:
    """The preset's configuration, or the checkpoint's, with the tokenizer's ids and what the arguments change."""
    changes = config_overrides(model_args)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    if preset is not None:
        start = {"vocab_size": len(tokenizer), **ids}
        weights = OBJECTIVES["mcl"]
    else:
        start = _checkpoint_fields(model_args, changes)
        check_vocabulary(tokenizer, model_args.base_checkpoints, **model_args.hub)
        weights = start.get("loss_weights", OBJECTIVES["mcl"])
        for name, value in ids.items():
            if start.setdefault(name, value) != value:
                raise UserError(
                    f"tokenizer {tokenizer.name_or_path!r}: {name} is {value}, but the model's is {start[name]}"
                )
    weights = OBJECTIVES[model_args.objective] if model_args.objective else weights
    if (weight := model_args.discriminator_weight) is not None:
        detects = {name for name, loss in all_losses().items() if loss.detects}
        weights = {name: weight if given and name in detects else given for name, given in weights.items()}
    changes["loss_weights"] = weights | (model_args.loss_weights or {})
    build = MclConfig if preset is None else getattr(MclConfig, preset)
    config = build(**{**start, **changes})
    if preset is not None:  # a checkpoint's vocabulary grows
        check_tokenizer(tokenizer, config.vocab_size)
    return config


def _checkpoint_fields(model_args: ModelArguments, changes: dict[str, Any]) -> dict[str, Any]:
    """The fields of the configuration that what to go on from has."""
    first = model_args.base_checkpoints[0]
    if model_args.model_name_or_path:
        return pair_fields(first, changes, **model_args.hub)
    return sources_fields(first, model_args.generator_name_or_path, changes, **model_args.hub)


def build_pair(model_args: ModelArguments, config: MclConfig) -> MclForPreTraining:
    """The pair as it begins."""
    arguments = {"attn_implementation": model_args.attn_implementation, **model_args.hub}
    if model_args.model_name_or_path:
        return load_pair(model_args.model_name_or_path, config, **arguments)
    if source := model_args.discriminator_name_or_path:
        return pair_from_sources(config, source, model_args.generator_name_or_path, **arguments)
    pair: MclForPreTraining = MclForPreTraining._from_config(
        config, attn_implementation=model_args.attn_implementation
    )
    return pair
