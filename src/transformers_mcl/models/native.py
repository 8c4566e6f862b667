"""One network of a pair of another family, as transformers' own class: what the Auto classes open."""

from __future__ import annotations

import os
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file, get_checkpoint_shard_files

from . import hooks
from .backbones import native_class
from .sharing import SHARING, tie

__all__ = ["auto_name", "open_native", "pair_config"]


def auto_name(kind: str) -> str:
    """The Auto class that has models of the kind that our class `kind` is."""
    if kind == "MclDiscriminator":
        return "AutoModelForPreTraining"
    return f"AutoModel{kind.removeprefix('Mcl').removeprefix('Model')}"


def pair_config(kind: Any, folder: str | os.PathLike[str], arguments: dict[str, Any]) -> Any:
    """The configuration that `from_pretrained` would read, with the `arguments` that are its fields, which are taken
    out of them."""
    config = arguments.pop("config", None)
    if isinstance(config, PreTrainedConfig):
        return config
    # "auto" is a format of models, and none of configurations.
    kept = {name: arguments[name] for name in (*hooks.HUB_ARGUMENTS, "dtype", "torch_dtype") if name in arguments}
    fields = {name: value for name, value in arguments.items() if not name.endswith("dtype")}
    config, unused = kind.from_pretrained(config or folder, return_unused_kwargs=True, **fields)
    arguments.clear()
    arguments.update(unused, **kept)
    return config


def open_native(kind: str, folder: str | os.PathLike[str], config: Any, **arguments: Any) -> Any:
    """`from_pretrained` of transformers' own class for one network of a pair.

    Args:
        kind: our class that was asked for.
        config: the pair's.
        arguments: of `from_pretrained`.
    """
    hub = {name: arguments.pop(name) for name in hooks.HUB_ARGUMENTS if name in arguments}
    generates = kind == "MclForMaskedLM"
    own = config.native_config(generator=generates)
    native = native_class(auto_name(kind), own)
    with torch.device("meta"):
        empty = native(own)
        prefixes = {f"{empty.base_model_prefix}.": f"{empty.base_model_prefix}."}
        if generates:
            discriminator = native_class("AutoModel", config.backbone_config)(config.backbone_config)
            tied = tie(SHARING[config.generator_shares], discriminator, empty)
            shared = {source: target.removeprefix("generator.") for target, source in tied.items()}
            prefixes = {"generator.": "", **shared}
    state = _read(folder, prefixes, hub)
    if getattr(empty.base_model, "pooler", None) is None:  # of other tasks; transformers itself would speak of it
        pooler = f"{empty.base_model_prefix}.pooler."
        state = {name: value for name, value in state.items() if not name.startswith(pooler)}
    opened: Any = native.from_pretrained(None, config=own, state_dict=state, **arguments)
    model = opened[0] if isinstance(opened, tuple) else opened
    model.name_or_path = model.config.name_or_path = str(folder)
    return opened


def _read(folder: str | os.PathLike[str], prefixes: dict[str, str], hub: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin with one of `prefixes`, each under what takes its place."""
    whole = cached_file(folder, SAFE_WEIGHTS_NAME, _raise_exceptions_for_missing_entries=False, **hub)
    if whole is not None:
        files = [whole]
    else:
        index = cached_file(folder, SAFE_WEIGHTS_INDEX_NAME, **hub)
        files, _ = get_checkpoint_shard_files(folder, index, **hub)
    found = {}
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():
                if name.endswith(".delta"):  # already in the discriminator's table
                    continue
                prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
                if prefix is not None:
                    found[prefixes[prefix] + name.removeprefix(prefix)] = opened.get_tensor(name)
    return found
