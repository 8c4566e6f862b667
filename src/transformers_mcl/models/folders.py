"""The files of a checkpoint, looked at before anything is made of them: each that is damaged is named in one line.

transformers says what is wrong with a file, if at all, by an error of whatever library met it first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file, cached_files

from ..errors import UserError
from ..io import load_json, one_line
from .hooks import HUB_ARGUMENTS

__all__ = ["Head", "check_config", "find_file", "tensor_heads", "weight_files"]

Head = tuple[tuple[int, ...], str]
"""The shape of a tensor in a file, and its number format by safetensors' name."""


def find_file(name_or_path: str | os.PathLike[str], file: str, **hub: Any) -> str | None:
    """Where a file of a checkpoint lies here, fetched if need be; None if it has none, or cannot be reached.

    Args:
        hub: `token`, `revision` and the like, of `from_pretrained`; others are passed over.
    """
    if os.path.isdir(name_or_path):  # whatever lies there by this name, a folder say
        path = os.path.join(name_or_path, str(hub.get("subfolder") or ""), file)
        return path if os.path.lexists(path) else None
    try:
        found: str | None = cached_file(name_or_path, file, **_QUIETLY, **_of_hub(hub))
    except (OSError, ValueError):  # no such repository: whoever opens it says so
        return None
    return found


_QUIETLY: dict[str, Any] = {
    f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors", "gated_repo")
}


def _of_hub(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in HUB_ARGUMENTS}


def check_config(name_or_path: str | os.PathLike[str], **hub: Any) -> str | None:
    """Where the configuration of a checkpoint lies; None if it has none.

    Raises:
        UserError: it is damaged.
    """
    path = find_file(name_or_path, CONFIG_NAME, **hub)
    if path is not None:
        load_json(path)
    return path


def weight_files(name_or_path: str | os.PathLike[str], **hub: Any) -> dict[str, dict[str, Head]]:
    """The files of safetensors that hold a checkpoint's weights, and of each what is in it; empty if it has none.

    No tensor is read.

    Raises:
        UserError: one is damaged, or the index of them names what is no file of the checkpoint.
    """
    if (whole := find_file(name_or_path, SAFE_WEIGHTS_NAME, **hub)) is not None:
        return {whole: tensor_heads(whole)}
    if (index := find_file(name_or_path, SAFE_WEIGHTS_INDEX_NAME, **hub)) is None:
        return {}
    shards = _shards(index)
    if not os.path.isdir(name_or_path):  # all at once
        try:
            cached_files(name_or_path, list(shards), **_QUIETLY, **_of_hub(hub))
        except (OSError, ValueError) as error:
            raise UserError(f"{index}: its files cannot be fetched: {one_line(error)}") from error
    files = {}
    for shard, tensors in shards.items():
        path = find_file(name_or_path, shard, **hub)
        if path is None:
            raise UserError(f"{index} names {shard!r}, which is not beside it")
        files[path] = heads = tensor_heads(path)
        if lost := next((tensor for tensor in tensors if tensor not in heads), None):
            raise UserError(f"{path} is damaged, or another model's: it lacks {lost}, which {index} says it has")
    return files


def _shards(index: str) -> dict[str, list[str]]:
    """The files that an index names, and the tensors that it says each has."""
    found = load_json(index)
    places = found.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise UserError(f"{index} is damaged: its weight_map does not say which file holds each tensor")
    if not isinstance(found.setdefault("metadata", {}), dict):
        raise UserError(f"{index} is damaged: its metadata is no mapping")
    shards: dict[str, list[str]] = {}
    for tensor, file in places.items():
        shards.setdefault(file, []).append(tensor)
    for file in shards:
        # Whatever lies elsewhere is none of the checkpoint's, and may be anything.
        if PurePath(file).name != file or "\\" in file or not file.endswith(".safetensors"):
            raise UserError(f"{index} names {file!r}, which is no file of safetensors beside it")
    return shards


def tensor_heads(path: str | os.PathLike[str]) -> dict[str, Head]:
    """The shape and number format of each tensor in a file of safetensors; no tensor is read.

    Raises:
        UserError: it is damaged.
    """
    if Path(path).is_dir():  # of which safetensors says no more than that it is no file
        raise UserError(f"{path} is a folder, and should be a file of weights")
    heads: dict[str, Head] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for tensor in file.keys():
                head = file.get_slice(tensor)
                heads[tensor] = (tuple(head.get_shape()), str(head.get_dtype()))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged, or no file of safetensors: {one_line(error)}") from error
    return heads
