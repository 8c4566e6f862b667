"""Choices: of several ways to go on from a context a model is to hold the right one likeliest."""

from __future__ import annotations

from .data import Choice, ChoicesArguments, Normalization, load_choices
from .evaluation import Choices
from .scoring import encode_choices, score_choices

__all__ = ["Choice", "Choices", "ChoicesArguments", "Normalization", "encode_choices", "load_choices", "score_choices"]
