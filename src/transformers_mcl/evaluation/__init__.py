"""What a trained model is worth: metrics, and evaluations without fine-tuning; `register_evaluation` adds one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation import Evaluation, EvaluationArguments, Outcome, evaluate, find_evaluation, register_evaluation
    from .minimal_pairs import MinimalPairs, PairSet

__all__ = [
    "Evaluation",
    "EvaluationArguments",
    "MinimalPairs",
    "Outcome",
    "PairSet",
    "evaluate",
    "find_evaluation",
    "register_evaluation",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that a metric is imported without torch. Minimal pairs come first: they register BLiMP.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    pairs = import_module(".minimal_pairs", __name__)
    return getattr(pairs if name in pairs.__all__ else import_module(".evaluation", __name__), name)


def __dir__() -> list[str]:
    return __all__
