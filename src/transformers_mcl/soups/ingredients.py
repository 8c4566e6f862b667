"""What a soup is made of: checkpoints on disk, opened without loading them, and compared before they are averaged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import (
    FEATURE_EXTRACTOR_NAME,
    GENERATION_CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
)
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME

from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..io import check_empty_folder, load_json
from ..models.adapters import find_adapter
from ..models.configuration_mcl import MclConfig
from ..models.folders import Head, find_file, tensor_heads
from ..models.loading import check_weights, load_config
from ..models.pretraining import MclForPreTraining
from ..training.checkpoints import INCOMPLETE, last_checkpoint

__all__ = ["COPIED", "DTYPES", "Ingredient", "check_alike", "check_apart", "common_config", "open_ingredients"]

# Fields that say how a model was trained, and not what its weights mean.
_OF_TRAINING = re.compile(
    r".*dropout.*|.*initializer_.*|loss_weights|(mask|swap|insert)_ratio|correction_(average|rows)|course_schedule"
    r"|generator_(trainable|temperature(_decay)?)|sparse_pred.*|deterministic_flash_attn|reference_compile"
    r"|_.*|architectures|auto_map|dtype|torch_dtype|transformers_version|use_cache|output_.*|return_dict"
)

# What lies beside the soup as it does beside the first ingredient that has it.
COPIED = (GENERATION_CONFIG_NAME, FEATURE_EXTRACTOR_NAME)

# The number formats that can be averaged, by their names in a file of safetensors.
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Ingredient:
    """A checkpoint whose tensors are read one by one, in parts if need be.

    Attributes:
        name: what the user called it.
        folder: where its configuration and tokenizer lie: a folder, or a name on the Hub.
        config: its configuration.
        files: the file of each tensor, by the tensor's name; of those alone that are weights of their own.
        sums: the other tensors, and the two that each is the sum of: embeddings that a pair's networks share in part.
        hub: `token`, `revision` and the like, for whoever opens it again.
    """

    name: str
    folder: str
    config: PreTrainedConfig
    files: Mapping[str, str]
    sums: Mapping[str, tuple[str, str]]
    hub: Mapping[str, Any]

    @cached_property
    def _heads(self) -> dict[str, Head]:
        files = {path: tensor_heads(path) for path in set(self.files.values())}
        return {tensor: files[path][tensor] for tensor, path in self.files.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor; no tensor is read."""
        return {tensor: shape for tensor, (shape, _) in self._heads.items()}

    def dtype(self, tensor: str) -> torch.dtype:
        """A tensor's number format in the file.

        Raises:
            UserError: one that no average can be taken in.
        """
        if (kind := self._heads[tensor][1]) not in DTYPES:
            raise UserError(f"ingredient {self.name!r}: the tensor {tensor} is of {kind}, which cannot be averaged")
        return DTYPES[kind]

    def read(self, tensor: str, begin: int = 0, end: int | None = None) -> Tensor:
        """A tensor, or its rows from `begin` to `end`."""
        # Opened anew each time: all that was read of a file that stays open counts as the process's memory.
        with safe_open(self.files[tensor], framework="pt") as file:
            return file.get_slice(tensor)[begin:end] if self._heads[tensor][0] else file.get_tensor(tensor)

    @property
    def size(self) -> int:
        """Bytes of its files of weights."""
        return sum(os.path.getsize(file) for file in set(self.files.values()))

    def file(self, name: str) -> str | None:
        """Where another file of the checkpoint lies here, fetched if need be; None if it has none."""
        return find_file(self.folder, name, **self.hub)


def open_ingredients(checkpoints: Sequence[str | os.PathLike[str]], **hub: Any) -> list[Ingredient]:
    """Opens checkpoints, and checks that their weights can be averaged.

    Args:
        checkpoints: folders of any transformers model, a Trainer's output folder among them (its last checkpoint is
            taken if it holds no model itself), or names on the Hub.
        hub: `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: one has no safetensors weights, or they are not alike; see `check_alike`.
    """
    if not checkpoints:
        raise UserError("checkpoints: none is given, and a soup needs at least one")
    ingredients = [_open(os.fspath(checkpoint), hub) for checkpoint in checkpoints]
    for other in ingredients[1:]:
        check_alike(ingredients[0], other)
    return ingredients


def _open(name: str, hub: Mapping[str, Any]) -> Ingredient:
    folder = os.path.expanduser(name)
    if os.path.isdir(folder) and not any(map(os.path.isfile, _whole(folder))):
        folder = last_checkpoint(folder, anyones=True) or folder
    if os.path.isdir(folder) and os.path.exists(os.path.join(folder, INCOMPLETE)):
        raise UserError(f"ingredient {name!r} was not written to its end: give an earlier checkpoint")
    if not any(map(os.path.isfile, _whole(folder))) and find_adapter(folder, **hub) is not None:
        raise UserError(
            f"ingredient {name!r} is an adapter ({ADAPTER_CONFIG_NAME}), not a whole model: merge it into its base "
            "with peft's merge_and_unload(), and save that"
        )
    config = load_config(folder, "ingredient", **hub)
    if not (files := check_weights(folder, f"ingredient {name!r}", **hub)):
        raise UserError(
            f"ingredient {name!r} has no {SAFE_WEIGHTS_NAME}; open it with from_pretrained and save it again"
        )
    tensors = {tensor: file for file, heads in files.items() for tensor in heads}
    for file in COPIED:
        if path := find_file(folder, file, **hub):
            load_json(path)
    if any(find_file(folder, file, **hub) for file in ("tokenizer_config.json", "tokenizer.json")):
        load_tokenizer(folder, **hub)  # whatever is wrong with it, before any long work
    sums = _sums(config, tensors)
    return Ingredient(name, folder, config, {t: file for t, file in tensors.items() if t not in sums}, sums, hub)


def _whole(folder: str) -> list[str]:
    """Where the weights of a whole model are in a folder, if it has them."""
    return [os.path.join(folder, file) for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)]


def _sums(config: PreTrainedConfig, tensors: Iterable[str]) -> dict[str, tuple[str, str]]:
    if not isinstance(config, MclConfig) or not any(tensor.endswith(".delta") for tensor in tensors):
        return {}
    with torch.device("meta"):
        pair = MclForPreTraining(config)
    return pair.sharing.sums(pair)


def common_config(ingredients: Sequence[Ingredient]) -> PreTrainedConfig:
    """The first's; with every loss that one of them was trained on, so that the average can be gone on from, with a
    generator that learns if one did, and where their schedules differ, every course on every row."""
    config = deepcopy(ingredients[0].config)
    weights: dict[str, float] = {}
    for ingredient in ingredients:
        for name, weight in (getattr(ingredient.config, "loss_weights", None) or {}).items():
            weights[name] = max(weight, weights.get(name, 0.0))
    if weights:
        config.loss_weights = weights
        config.generator_trainable = any(ingredient.config.generator_trainable for ingredient in ingredients)
    if len({getattr(ingredient.config, "course_schedule", "all") for ingredient in ingredients}) > 1:
        config.course_schedule = "all"
    return config


def check_alike(first: Ingredient, other: Ingredient) -> None:
    """Refuses two checkpoints whose average would mean nothing.

    Raises:
        UserError: a field of the configuration, a tensor's presence or shape, or the tokenizer differs; the message
            names it, and both values. Fields that say how a model was trained may differ.
    """

    def refuse(what: str, ours: Any, its: Any) -> None:
        raise UserError(f"{what}: {ours} in {first.name!r} and {its} in {other.name!r}; they cannot be averaged")

    ours, its = _fields(first.config), _fields(other.config)
    for field in sorted(ours.keys() | its.keys(), key=lambda field: (not field.endswith("model_type"), field)):
        if ours.get(field) != its.get(field) and not _OF_TRAINING.fullmatch(field.rpartition(".")[2]):
            refuse(f"field {field} of the configurations differs", repr(ours.get(field)), repr(its.get(field)))
    for ingredient, tensors in ((first, other.files), (other, first.files)):
        if missing := sorted(tensors.keys() - ingredient.files.keys()):
            raise UserError(
                f"ingredient {ingredient.name!r} lacks the tensor {missing[0]} ({len(missing)} in all), which "
                f"{(other if ingredient is first else first).name!r} has; they cannot be averaged"
            )
    for tensor, shape in first.shapes.items():
        if shape != other.shapes[tensor]:
            refuse(f"tensor {tensor} differs in shape", shape, other.shapes[tensor])
    _check_tokenizers(_tokenizer(first), _tokenizer(other), refuse)


def _fields(config: PreTrainedConfig) -> dict[str, Any]:
    """Those of the configurations in this one, too: `backbone_config.hidden_size`."""
    found = config.to_dict()
    for name, inner in vars(config).items():
        if isinstance(inner, PreTrainedConfig):
            del found[name]
            found |= {f"{name}.{field}": value for field, value in _fields(inner).items()}
    return found


def check_apart(output_dir: str | os.PathLike[str], checkpoints: Sequence[str]) -> Path:
    """`output_dir` as a path.

    Raises:
        UserError: it is, or is inside, a checkpoint's folder, or holds something.
    """
    folder = Path(output_dir).expanduser().resolve()
    for name in checkpoints:
        ingredient = Path(name).expanduser()
        if ingredient.is_dir() and folder.is_relative_to(ingredient.resolve()):
            where = "is" if folder == ingredient.resolve() else "lies inside"
            raise UserError(f"output_dir {str(output_dir)!r} {where} the ingredient {name!r}: give another folder")
    check_empty_folder(output_dir)
    return folder


def _tokenizer(ingredient: Ingredient) -> dict[str, Any]:
    path = ingredient.file("tokenizer.json")
    said: dict[str, Any] = load_json(path) if path else {}
    # These two are what the last call to it was, not what it is.
    return {key: value for key, value in said.items() if key not in ("truncation", "padding")}


def _check_tokenizers(ours: dict[str, Any], its: dict[str, Any], refuse: Any) -> None:
    """One that is not there, as beside a Trainer's checkpoint of a run without one, cannot differ."""
    if not ours or not its or ours == its:
        return
    ids, its_ids = ((tokenizer.get("model") or {}).get("vocab") for tokenizer in (ours, its))
    if isinstance(ids, dict) and isinstance(its_ids, dict):
        for token in sorted(ids.keys() | its_ids.keys()):
            if ids.get(token) != its_ids.get(token):
                refuse(f"the tokenizers differ in the id of {token!r}", ids.get(token), its_ids.get(token))
    part = next(key for key in sorted(ours.keys() | its.keys()) if ours.get(key) != its.get(key))
    if part == "model":  # vocabularies that are lists, with scores: no short way to name a difference
        refuse("the tokenizers' vocabularies differ", "one", "another")
    refuse(f"the tokenizers differ in their {part}", repr(ours.get(part))[:80], repr(its.get(part))[:80])
