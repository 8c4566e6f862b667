"""The average of many checkpoints, tensor by tensor: as much memory for fourteen as for two."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor
from transformers.utils.logging import tqdm

from ..errors import UserError
from .ingredients import DTYPES, Ingredient

__all__ = ["Coefficients", "average", "check_weights", "formats", "parts", "read_average", "read_parts"]

Coefficients = Sequence[float] | Callable[[str], Sequence[float]]
"""One number an ingredient, or such numbers for each tensor by its name; what counts is their proportion."""

# Numbers in a part of a tensor that is averaged at a time.
_PART = 1 << 22
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def check_weights(weights: Sequence[float], ingredients: Sequence[str]) -> None:
    """Refuses weights that are no proportions.

    Raises:
        UserError: not one for each of `ingredients`, a negative or infinite one, or all of them 0.
    """
    if len(weights) != len(ingredients):
        raise UserError(f"weights: {len(weights)} are given for {len(ingredients)} ingredients")
    for weight, name in zip(weights, ingredients, strict=True):
        if not 0 <= weight < float("inf"):
            raise UserError(f"weights: {weight} for {name!r}; a weight is a number from 0 on")
    if not any(weights):
        raise UserError("weights: all are 0; at least one has to be above it")


def formats(ingredients: Sequence[Ingredient], dtype: torch.dtype | None = None) -> dict[str, torch.dtype]:
    """The number format of each tensor of the average: `dtype`, or else the widest of the ingredients'; that of whole
    numbers stays.
    """
    found = {}
    for tensor in ingredients[0].files:
        widest, *others = (ingredient.dtype(tensor) for ingredient in ingredients)
        for other in others:
            widest = torch.promote_types(widest, other)
        found[tensor] = (dtype or widest) if widest.is_floating_point else widest
    sums = ingredients[0].sums.items()
    return found | {name: torch.promote_types(found[one], found[other]) for name, (one, other) in sums}


def average(
    ingredients: Sequence[Ingredient], coefficients: Coefficients, path: Path, dtype: torch.dtype | None = None
) -> None:
    """Writes the average of checkpoints into one file of safetensors.

    Sums are in float64, whatever the files' format, and taken in the order of the ingredients' names: the result does
    not depend on the order in which they are given, and that of copies is the copy. Tensors of whole numbers are
    those of all. What is the sum of two tensors is that of their averages, as the model adds them.

    Args:
        ingredients: as `open_ingredients` checked them.
        coefficients: one an ingredient, or by tensor.
        path: the file to write.
        dtype: the format of the result; by default the widest of a tensor's ingredients.

    Raises:
        UserError: an ingredient holds a NaN or an infinity, or whole numbers that are not the others', or numbers that
            `dtype` has no room for.
    """
    (first, *_), dtypes = ingredients, formats(ingredients, dtype)
    shapes = first.shapes | {name: first.shapes[one] for name, (one, _) in first.sums.items()}
    size = sum(torch.Size(shape).numel() for shape in shapes.values())
    with open(path, "wb") as file, tqdm(total=size, unit="", unit_scale=True, desc="averaging", leave=False) as bar:
        _write_header(file, dtypes, shapes)
        for tensor, kind in dtypes.items():
            summands = [read_parts(ingredients, coefficients, name) for name in first.sums.get(tensor, (tensor,))]
            for pieces in zip(*summands, strict=True):
                part = reduce(torch.add, [piece.to(kind) for piece in pieces])
                if part.is_floating_point() and not part.isfinite().all():
                    raise UserError(f"tensor {tensor} holds numbers that {kind} has no room for: give another dtype")
                # A view as bytes needs a dimension, and numpy knows no bfloat16.
                file.write(part.reshape(-1).view(torch.uint8).numpy().data)
                bar.update(part.numel())


def read_average(ingredients: Sequence[Ingredient], coefficients: Coefficients, tensor: str) -> Tensor:
    """One tensor of the average, in float64 if it holds fractions."""
    flat = torch.cat([part.reshape(-1) for part in read_parts(ingredients, coefficients, tensor)])
    return flat.view(ingredients[0].shapes[tensor])


def read_parts(ingredients: Sequence[Ingredient], coefficients: Coefficients, tensor: str) -> Iterator[Tensor]:
    """The same in `parts`, one after the other."""
    weights = coefficients(tensor) if callable(coefficients) else coefficients
    pairs = sorted(zip(ingredients, weights, strict=True), key=lambda pair: (pair[0].name, pair[1]))
    for begin, end in parts(ingredients[0].shapes[tensor]):
        yield _mix(pairs, tensor, begin, end)


def parts(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last row (excluded) of the parts in which a tensor of this shape is read."""
    length, *rest = shape or (1,)
    step = max(1, _PART // max(1, torch.Size(rest).numel()))
    for begin in range(0, length, step):
        yield begin, min(begin + step, length)


def _mix(pairs: Sequence[tuple[Ingredient, float]], tensor: str, begin: int, end: int) -> Tensor:
    mixed: Tensor | None = None
    for ingredient, weight in pairs:
        part = ingredient.read(tensor, begin, end)
        if not part.is_floating_point():
            if mixed is not None and not torch.equal(mixed, part):
                raise UserError(
                    f"tensor {tensor} holds whole numbers, which differ in {pairs[0][0].name!r} and "
                    f"{ingredient.name!r}; they cannot be averaged"
                )
            mixed = part
            continue
        if not part.isfinite().all():
            raise UserError(f"ingredient {ingredient.name!r}: the tensor {tensor} holds a NaN or an infinity")
        part = part.double().mul_(weight)
        mixed = part if mixed is None else mixed.add_(part)
    assert mixed is not None  # there is at least one ingredient
    # Divided at the end: whole proportions give the plain mean to the last bit, and that of copies is the copy.
    return mixed.div_(math.fsum(weight for _, weight in pairs)) if mixed.is_floating_point() else mixed


def _write_header(file: BinaryIO, dtypes: Mapping[str, torch.dtype], shapes: Mapping[str, Sequence[int]]) -> None:
    """safetensors' own functions write tensors that are all in memory; its header is a JSON and its length."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor, dtype in dtypes.items():
        begin, end = end, end + torch.Size(shapes[tensor]).numel() * dtype.itemsize
        header[tensor] = {"dtype": _NAMES[dtype], "shape": list(shapes[tensor]), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
