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

_REGISTERING = (".minimal_pairs", ".choices", ".losses")
"""Modules of evaluations, which are known once these are imported."""


def __getattr__(name: str) -> Any:
    # Lazy, so that a metric is imported without torch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = [import_module(module, __name__) for module in (*_REGISTERING, ".evaluation")]
    return next(getattr(module, name) for module in modules if name in module.__all__)


def __dir__() -> list[str]:
    return __all__
