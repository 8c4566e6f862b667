"""Minimal pairs: of two sentences that hardly differ a model is to hold the acceptable one likelier."""

from __future__ import annotations

from .data import BLIMP, Pair, PairsArguments, PairSet, load_pairs
from .evaluation import MinimalPairs, ScoringArguments
from .scoring import PairScorer, PairScores, score_pairs

__all__ = [
    "BLIMP",
    "MinimalPairs",
    "Pair",
    "PairScorer",
    "PairScores",
    "PairSet",
    "PairsArguments",
    "ScoringArguments",
    "load_pairs",
    "score_pairs",
]
