"""The tug-of-war: whether the losses of a pair pull its weights the same way, by the angles of their gradients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..method.courses import COURSES, all_losses
from ..models.pretraining import MclForPreTraining
from ..training.seeds import stream_seed

__all__ = ["Conflicts", "all_weights", "loss_gradients", "measure_conflicts"]

_Gradients = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Conflicts:
    """Of m losses, each a mean over batches.

    Attributes:
        losses: their names, generator's first.
        cosines (`(m, m)`): of the gradients of all weights. A generator's loss and a discriminator's have only the
            shared embeddings in common.
        shared_cosines (`(m, m)`): of the gradients of what both halves share alone; NaN if that is nothing.
        spreads (`(m, m)`): standard deviation of `cosines` over the batches.
        norms (`(m,)`): of the gradients as they enter the objective, weights included.
        batches: how many there were.
    """

    losses: list[str]
    cosines: np.ndarray
    shared_cosines: np.ndarray
    spreads: np.ndarray
    norms: np.ndarray
    batches: int


def all_weights(model: MclForPreTraining) -> dict[str, float]:
    """The weights of a pair's losses; a correction that it was trained without has its course's weight."""
    weights = dict(model.config.weights)
    for course in COURSES.values():
        for first, again in ((course.generate, course.regenerate), (course.detect, course.rediscriminate)):
            if first and again:
                weights[again.name] = weights.get(again.name) or weights.get(first.name, 0.0)
    return weights


def measure_conflicts(
    model: MclForPreTraining, batches: Iterable[Mapping[str, Any]], seed: int = 0, dropout: bool = False
) -> Conflicts:
    """Cosine similarities between the gradients of a pair's losses.

    One forward a batch gives all its losses, hence on the same draws, and each goes back alone. Memory: a gradient of
    its half of the pair for each loss. The model is left as it was, without gradients.

    Args:
        model: the pair. Losses of weight 0 are left out, corrections excepted: see `all_weights`.
        batches: keywords of its `forward`, one or more.
        seed: of all draws.
        dropout: as in training; without, the draws of the courses are the only chance in it.
    """
    training, weights = model.training, model.loss_weights
    model.loss_weights = all_weights(model)
    model.train(dropout)
    shared = set(model._tied_weights_keys.values())
    totals: list[np.ndarray] = []
    names: list[str] = []
    try:
        for number, batch in enumerate(batches):
            gradients = loss_gradients(model, batch, stream_seed(seed, number))
            names = [name for name in all_losses() if name in gradients]
            ordered = [gradients[name] for name in names]
            totals.append(np.stack([_products(ordered), _products(ordered, shared)]))
    finally:
        model.loss_weights = weights
        model.train(training)
    norms = np.stack([np.sqrt(np.diagonal(whole)) for whole, _ in totals])
    # A correction may have had nothing to correct in some batches.
    cosines = np.ma.masked_invalid([[_cosines(products) for products in pair] for pair in totals])
    mean, spreads = (numbers.filled(np.nan) for numbers in (cosines.mean(0), cosines.std(0)))
    return Conflicts(names, mean[0], mean[1], spreads[0], norms.mean(0), len(totals))


def loss_gradients(model: MclForPreTraining, batch: Mapping[str, Any], seed: int = 0) -> _Gradients:
    """The gradient of each weighted loss: by its name, by that of the parameter, what it reaches."""
    found: list[dict[str, Tensor]] = []

    def capture(loss: Tensor) -> None:
        model.zero_grad(set_to_none=True)
        loss.backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})

    generator = torch.Generator(model.device).manual_seed(seed)
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        output = model(**batch, generator=generator, backward=capture)
        assert output.loss is not None and output.losses is not None
        capture(output.loss)
    model.zero_grad(set_to_none=True)
    return dict(zip(output.losses, found, strict=True))


def _products(gradients: list[dict[str, Tensor]], only: Collection[str] | None = None) -> np.ndarray:
    products = np.zeros((len(gradients), len(gradients)))
    for i, ours in enumerate(gradients):
        for j, its in enumerate(gradients[: i + 1]):
            common = ours.keys() & its.keys() if only is None else ours.keys() & its.keys() & set(only)
            # In float64, which not every device has.
            parts = ((ours[name].cpu().double(), its[name].cpu().double()) for name in common)
            products[i, j] = products[j, i] = sum(float((one * other).sum()) for one, other in parts)
    return products


def _cosines(products: np.ndarray) -> np.ndarray:
    """NaN for a loss without a gradient, as of a correction that had nothing to correct."""
    norms = np.sqrt(np.diagonal(products))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(products / norms / norms[:, None])
