"""What a folder of sentence-transformers has beside its encoder: pooling and the like, of which some have weights."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME

from ..errors import UserError
from ..io import load_json
from ..models.folders import tensor_heads
from .averaging import Coefficients, average
from .ingredients import Ingredient

__all__ = ["MODULES", "check_modules", "write_modules"]

MODULES = "modules.json"
_SETTINGS = ("config_sentence_transformers.json", "sentence_bert_config.json")


def check_modules(first: Ingredient, other: Ingredient) -> None:
    """That two checkpoints have the same modules; one with none but the encoder takes the other's, if those have no
    weights.

    Raises:
        UserError: they differ.
    """
    ours, its = _modules(first), _modules(other)
    for module in {**ours, **its}:
        same = ours.get(module) == its.get(module) or not (ours and its)
        if not same or _weights(first, module) != _weights(other, module):
            raise UserError(
                f"the module {module} of sentence-transformers is another one in {first.name!r} than in "
                f"{other.name!r}, or in one of them alone; they cannot be averaged"
            )


def write_modules(ingredients: Sequence[Ingredient], coefficients: Coefficients, folder: Path) -> None:
    """Writes the modules, their weights averaged as the encoder's are as a whole, into `folder`, if there are any."""
    found = next((ingredient for ingredient in ingredients if ingredient.file(MODULES)), None)
    if found is None:
        return
    for name in (MODULES, *_SETTINGS):
        _copy(found, name, folder)
    if callable(coefficients):  # by layers of the encoder
        rows = [coefficients(tensor) for tensor in ingredients[0].files]
        coefficients = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    for module in _modules(found):
        (folder / module).mkdir(exist_ok=True)  # empty of one without settings
        _copy(found, f"{module}/{CONFIG_NAME}", folder)
        if _weights(found, module):
            alone = [_part(ingredient, module) for ingredient in ingredients]
            average(alone, coefficients, folder / module / SAFE_WEIGHTS_NAME)


def _copy(ingredient: Ingredient, name: str, folder: Path) -> None:
    if path := ingredient.file(name):
        shutil.copy(path, folder / name)


def _modules(ingredient: Ingredient) -> dict[str, Any]:
    """What is in a folder of its own, by that: its class and its settings."""
    found = _json(ingredient, MODULES, list) or []
    try:
        named = {str(module["path"]): str(module["type"]) for module in found if module["path"]}
    except (KeyError, TypeError) as error:
        raise UserError(f"ingredient {ingredient.name!r}: {MODULES} is no list of modules") from error
    for path in named:
        if not re.fullmatch(r"\w[\w.-]*", path):  # what is written there must not lie elsewhere
            raise UserError(f"ingredient {ingredient.name!r}: {MODULES} names a folder {path!r}, which is none inside")
    return {path: (kind, _json(ingredient, f"{path}/{CONFIG_NAME}")) for path, kind in named.items()}


def _json(ingredient: Ingredient, name: str, kind: type = object) -> Any:
    """What a file of JSON holds; `None` if there is none."""
    if (path := ingredient.file(name)) is None:
        return None
    try:
        return load_json(path, kind)
    except UserError as error:
        raise UserError(f"ingredient {ingredient.name!r}: {error}") from error


def _weights(ingredient: Ingredient, module: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a module's tensors."""
    if (path := ingredient.file(f"{module}/{SAFE_WEIGHTS_NAME}")) is None:
        if ingredient.file(f"{module}/pytorch_model.bin"):
            raise UserError(f"ingredient {ingredient.name!r}: the weights of {module} are no {SAFE_WEIGHTS_NAME}")
        return {}
    try:
        return {tensor: shape for tensor, (shape, _) in tensor_heads(path).items()}
    except UserError as error:
        raise UserError(f"ingredient {ingredient.name!r}: {error}") from error


def _part(ingredient: Ingredient, module: str) -> Ingredient:
    """A module's weights as an ingredient of their own."""
    path = str(ingredient.file(f"{module}/{SAFE_WEIGHTS_NAME}"))
    files = dict.fromkeys(_weights(ingredient, module), path)
    return Ingredient(ingredient.name, ingredient.folder, ingredient.config, files, {}, ingredient.hub)
