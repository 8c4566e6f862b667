"""The loss along the straight line between two checkpoints: whether they lie in one basin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.utils.logging import tqdm

from .averaging import Coefficients, read_average
from .ingredients import Ingredient

__all__ = ["Lines", "barrier", "load_average", "measure_lines"]

Lines = dict[tuple[int, int], list[float]]
"""By the numbers of two ingredients, the losses at equal distances from the first to the second, both included."""


def load_average(model: PreTrainedModel, ingredients: Sequence[Ingredient], coefficients: Coefficients) -> None:
    """Puts the average of checkpoints into a model of theirs, in place and tensor by tensor."""
    state: dict[str, Any] = model.state_dict()
    for tensor in ingredients[0].files:
        state[tensor].copy_(read_average(ingredients, coefficients, tensor).view_as(state[tensor]))


@torch.no_grad()
def measure_lines(
    ingredients: Sequence[Ingredient], model: PreTrainedModel, loss: Callable[[Any], float], points: int = 3
) -> Lines:
    """The loss along the line between any two of `ingredients`.

    Args:
        ingredients: as `open_ingredients` checked them.
        model: one of theirs; its weights are replaced.
        loss: of the model as it is; on the same rows and draws each time, or lines are noise.
        points: how many between the ends.
    """
    n, shares = len(ingredients), [point / (points + 1) for point in range(1, points + 1)]
    ends, lines = [], {}
    with tqdm(total=n + points * n * (n - 1) // 2, desc="losses along lines") as bar:

        def at(chosen: Sequence[Ingredient], coefficients: Sequence[float]) -> float:
            load_average(model, chosen, coefficients)
            bar.update()
            return loss(model)

        ends = [at([ingredient], [1.0]) for ingredient in ingredients]
        for i, j in combinations(range(n), 2):
            between = [at([ingredients[i], ingredients[j]], [1 - share, share]) for share in shares]
            lines[i, j] = [ends[i], *between, ends[j]]
        if n == 1:
            lines[0, 0] = ends * 2
    return lines


def barrier(losses: Sequence[float]) -> float:
    """How far a line's losses rise above the straight line between its ends, at most; 0 if they never do."""
    chord = np.linspace(losses[0], losses[-1], len(losses))
    return float((np.asarray(losses) - chord).max())
