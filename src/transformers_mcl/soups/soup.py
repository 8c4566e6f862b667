"""What there is to say of a soup: how its coefficients were found, what they are, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["METHODS", "Soup"]

METHODS = ("uniform", "weighted", "greedy", "learned")


@dataclass
class Soup:
    """How a soup came to be.

    Attributes:
        method: one of `METHODS`.
        ingredients: their names, in the order given.
        coefficients: one an ingredient, adding up to 1; of several an ingredient (one a layer), their mean.
        scores: of each ingredient, where they were scored; more is better, a loss is negated.
        score: of the soup itself, where the ingredients have one.
        uniform: of the uniform average, where the coefficients were learnt.
        measure: what was scored, and `source` on what data.
        is_loss: whether scores are losses with a minus before them.
        layers: with one coefficient a layer, these by layer.
    """

    method: str
    ingredients: list[str]
    coefficients: list[float]
    scores: list[float] | None = None
    score: float | None = None
    uniform: float | None = None
    measure: str = "score"
    source: str = ""
    is_loss: bool = False
    layers: dict[str, list[float]] = field(default_factory=dict)
