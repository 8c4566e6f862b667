"""What a trained model is worth: metrics, and evaluations without fine-tuning; `register_evaluation` adds one."""

from __future__ import annotations

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
