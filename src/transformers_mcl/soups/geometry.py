"""How far apart checkpoints lie in the space of their weights, and in which directions from where they began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers.utils.logging import tqdm

from .ingredients import Ingredient

__all__ = ["Geometry", "measure_geometry"]

# Numbers, over all ingredients, that are in memory at a time.
_NUMBERS = 1 << 22


@dataclass(frozen=True)
class Geometry:
    """Of n ingredients.

    Attributes:
        distances (`(n, n)`): Euclidean, between all their weights taken as one vector.
        weight_angles (`(n, n)`): between these vectors, in degrees.
        angles (`(n, n)`): in degrees, between the ways they went: from their start if it was given, else from their
            mean. From the mean, n unrelated directions make angles of arccos(-1 / (n - 1)), and two of 180. NaN where
            one did not move.
        moved (`(n,)`): how far each is from there.
    """

    distances: np.ndarray
    weight_angles: np.ndarray
    angles: np.ndarray
    moved: np.ndarray


def measure_geometry(ingredients: Sequence[Ingredient], start: Ingredient | None = None) -> Geometry:
    """Measures checkpoints tensor by tensor, in float64; tensors of whole numbers are left out.

    Args:
        ingredients: as `open_ingredients` checked them.
        start: the checkpoint from which they were all trained; their mean stands in for it.
    """
    n = len(ingredients)
    squares, weights, moves = (torch.zeros(n, n, dtype=torch.float64) for _ in range(3))
    for part, origin in _parts(ingredients, start):
        # Not by products of matrices, whose rounding would set copies apart.
        squares += torch.cdist(part, part, compute_mode="donot_use_mm_for_euclid_dist").square()
        weights += part @ part.T
        moved = part - (part.mean(0) if origin is None else origin)
        moves += moved @ moved.T
    return Geometry(squares.sqrt().numpy(), _angles(weights), _angles(moves), moves.diagonal().sqrt().numpy())


def _angles(products: Tensor) -> np.ndarray:
    norms = products.diagonal().sqrt()
    cosines = (products / norms / norms[:, None]).clamp(-1, 1)
    angles = cosines.arccos().rad2deg()
    angles.diagonal().copy_(torch.where(norms > 0, 0.0, torch.nan))  # rounding would leave a millionth of a degree
    return np.asarray(angles)


def _parts(ingredients: Sequence[Ingredient], start: Ingredient | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Rows of each tensor as `(n, numbers)`, and the start's."""
    first = ingredients[0]
    for tensor in tqdm(first.files, desc="distances"):
        length, *rest = first.shapes[tensor] or (1,)
        step = max(1, _NUMBERS // len(ingredients) // max(1, torch.Size(rest).numel()))
        if not first.dtype(tensor).is_floating_point:
            continue
        for begin in range(0, length, step):
            everything = [*ingredients, *([] if start is None else [start])]
            read = torch.stack([one.read(tensor, begin, begin + step).double().reshape(-1) for one in everything])
            yield read[: len(ingredients)], None if start is None else read[-1]
