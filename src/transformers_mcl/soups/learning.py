"""Mixing coefficients found by an optimizer: on a loss by its gradient, on any other score by trying."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from torch import Tensor
from transformers.utils.logging import tqdm

from ..errors import UserError, check_name
from ..models.structure import layer_numbers
from .averaging import Coefficients, parts, read_parts
from .ingredients import Ingredient
from .scores import LossScore

__all__ = ["Gradient", "Learnt", "group_tensors", "learn_coefficients"]

Array = NDArray[np.float64]

# How far the logarithms of two coefficients may lie apart from 0: what is smaller than e**-20 of another is none.
_BOUND = 10.0
_EMBEDDINGS = re.compile(r"(.*?embed(?:dings|_tokens))\.")


@dataclass(frozen=True)
class Learnt:
    """What an optimizer found.

    Attributes:
        coefficients: by group of tensors one an ingredient, which add up to 1.
        score: of the average with them.
        uniform: of the uniform average.
        evaluations: how many averages were looked at.
    """

    coefficients: dict[str, list[float]]
    score: float
    uniform: float
    evaluations: int


class _Spent(Exception):
    """All evaluations were made."""


def learn_coefficients(
    ingredients: Sequence[Ingredient],
    score: Callable[[Path], float],
    write: Callable[[Sequence[Ingredient], Coefficients, Path], None],
    folder: Path,
    *,
    per: str = "ingredient",
    max_evaluations: int = 50,
) -> Learnt:
    """The coefficients of the best average found; it is never worse than the uniform one.

    They are a softmax of what is optimized, so that they add up to 1 and none is negative. It begins at the uniform
    average. A loss is minimized by L-BFGS-B with its gradient ([`Gradient`]), in the memory of one model and its
    gradient; any other score by COBYLA, which needs none.

    Args:
        ingredients: as `open_ingredients` checked them.
        score: a [`LossScore`] that is a loss has a gradient; of any other score averages are written and scored.
        write: writes the average with these coefficients as a checkpoint.
        folder: where to, again and again; it does not stay.
        per: `"ingredient"`: a coefficient an ingredient; `"layer"`: such coefficients for each layer, for the
            embeddings and for each other part.
        max_evaluations: of averages, the uniform one included.

    Raises:
        UserError: fewer evaluations than it takes to look in every direction, or a uniform average without a score.
    """
    groups = group_tensors(ingredients[0].files, per)
    names = list(dict.fromkeys(groups.values()))
    shape = (len(names), len(ingredients))
    smooth = isinstance(score, LossScore) and score.is_loss
    least = 2 if smooth else math.prod(shape) + 2
    if max_evaluations < least:
        raise UserError(f"max_evaluations={max_evaluations}: learning {math.prod(shape)} coefficients takes {least}")
    look: Any = Gradient(ingredients, score) if smooth else _Trial(ingredients, score, write, folder)  # type: ignore[arg-type]
    seen: list[tuple[float, Array]] = []

    def objective(logits: Array) -> Any:
        if len(seen) == max_evaluations:
            raise _Spent
        shares = softmax(logits.reshape(shape), axis=1)
        value, slope = look(lambda tensor: shares[names.index(groups[tensor])].tolist())
        seen.append((value, shares))
        bar.update()
        bar.set_postfix(best=f"{max(value for value, _ in seen):.5g}")
        if slope is None:
            return -value
        by_group = np.zeros(shape)
        for tensor, of_tensor in slope.items():
            by_group[names.index(groups[tensor])] += of_tensor
        return -value, -(shares * (by_group - (shares * by_group).sum(1, keepdims=True))).ravel()

    with tqdm(total=max_evaluations, unit="average", desc="learning") as bar:
        try:
            _minimize(objective, np.zeros(math.prod(shape)), smooth, max_evaluations)
        except _Spent:
            pass
    uniform = seen[0][0]
    if not math.isfinite(uniform):
        raise UserError(f"the uniform average of the ingredients scores {uniform}: there is nothing to learn from")
    best, shares = max(seen, key=lambda pair: pair[0] if math.isfinite(pair[0]) else -math.inf)
    return Learnt(dict(zip(names, shares.tolist(), strict=True)), best, uniform, len(seen))


def _minimize(objective: Callable[[Array], Any], start: Array, smooth: bool, evaluations: int) -> None:
    if smooth:
        bounds = [(-_BOUND, _BOUND)] * len(start)
        minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": evaluations})
    else:
        minimize(objective, start, method="COBYLA", options={"rhobeg": 1.0, "maxiter": evaluations, "tol": 0.02})


class _Trial:
    """The score of an average, as any checkpoint's: written and opened."""

    def __init__(
        self,
        ingredients: Sequence[Ingredient],
        score: Callable[[Path], float],
        write: Callable[[Sequence[Ingredient], Coefficients, Path], None],
        folder: Path,
    ):
        self.ingredients, self.score, self.write, self.folder = ingredients, score, write, folder

    def __call__(self, coefficients: Coefficients) -> tuple[float, None]:
        try:
            self.write(self.ingredients, coefficients, self.folder)
            return self.score(self.folder), None
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class Gradient:
    """A loss of the average, and its derivative by every coefficient, which by the chain rule is the inner product of
    the gradient by a weight and an ingredient's: d loss / d c_i = <d loss / d W, W_i>.

    One model is in memory, with its gradient, and a part of one tensor. What the loss draws by the weights (a
    generator's samples, the cells of the notebook) counts as given: the derivative is that between two jumps.

    Args:
        ingredients: as `open_ingredients` checked them.
        score: the loss.
    """

    def __init__(self, ingredients: Sequence[Ingredient], score: LossScore):
        self.ingredients, self.score = ingredients, score
        self.model = score.load(ingredients[0].folder)
        held = self.model.state_dict(keep_vars=True)
        if unknown := [tensor for tensor in ingredients[0].files if tensor not in held]:
            raise UserError(f"tensor {unknown[0]} of the ingredients has no place in a {type(self.model).__name__}")
        self.tensors: dict[str, Tensor] = {tensor: held[tensor] for tensor in ingredients[0].files}
        for tensor in self.tensors.values():
            tensor.requires_grad_(tensor.is_floating_point())

    def __call__(self, coefficients: Coefficients) -> tuple[float, dict[str, Array]]:
        """The score, minus the loss, and its derivatives by tensor: one an ingredient."""
        for name, tensor in self.tensors.items():
            flat, done = tensor.detach().view(-1), 0
            for part in read_parts(self.ingredients, coefficients, name):
                flat[done : done + part.numel()] = part.reshape(-1)
                done += part.numel()
        loss = 0.0
        for piece in self.score.losses(self.model):
            loss += piece.item()
            if piece.requires_grad:
                piece.backward()
        for source, difference in self.ingredients[0].sums.values():
            # What the discriminator reads is the sum of both, and its losses move with either, in training or not.
            if (gradient := self.tensors[difference].grad) is not None:
                known = self.tensors[source].grad
                self.tensors[source].grad = gradient if known is None else known + gradient
        slopes = {name: self._slopes(name, tensor.grad) for name, tensor in self.tensors.items()}
        for tensor in self.tensors.values():
            tensor.grad = None
        return -loss, slopes

    def _slopes(self, name: str, gradient: Tensor | None) -> Array:
        slopes = np.zeros(len(self.ingredients))
        if gradient is None:
            return slopes
        rows = gradient.view(gradient.shape or (1,))
        for begin, end in parts(gradient.shape):
            part = rows[begin:end].cpu().double().reshape(-1)
            for i, ingredient in enumerate(self.ingredients):
                slopes[i] -= torch.dot(part, ingredient.read(name, begin, end).double().reshape(-1)).item()
        return slopes


def group_tensors(tensors: Iterable[str], per: str) -> dict[str, str]:
    """The group that each tensor has its coefficients from: all one, or a layer (`generator.electra.encoder.layer.3`),
    the embeddings, each other part.

    Raises:
        UserError: `per` is neither `"ingredient"` nor `"layer"`.
    """
    check_name("coefficients_per", per, ("ingredient", "layer"))
    if per == "ingredient":
        return dict.fromkeys(tensors, "all")
    tensors = list(tensors)
    layers = layer_numbers(tensors)
    return {tensor: ".".join(map(str, layers[tensor])) if tensor in layers else _part(tensor) for tensor in tensors}


def _part(tensor: str) -> str:
    """Outside the layers: `electra.embeddings`, `discriminator_predictions`."""
    match = _EMBEDDINGS.match(tensor)
    return match[1] if match else tensor.split(".")[0]
