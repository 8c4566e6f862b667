"""How probable a generator, or how original a discriminator, holds each option in its context."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..minimal_pairs.scoring import PairScores
from ..sentence_scores import Sentence, SentenceScorer
from .data import Choice, Normalization

__all__ = ["encode_choices", "score_choices"]

Encoded = list[list[Sentence]]


def encode_choices(scorer: SentenceScorer, choices: Sequence[Choice], separator: str = " ") -> Encoded:
    """Of each choice its options as tokens, each after the context, of which the option's alone count.

    Raises:
        UserError: an option without tokens, a text longer than the model has positions for, and where it stands.
    """
    options = [(choice, option) for choice in choices for option in choice.options]
    heads = [_before(choice.context, option, separator) for choice, option in options]
    texts = [head + option for head, (_, option) in zip(heads, options, strict=True)]
    sentences = iter(scorer.encode_texts(texts, [len(head) for head in heads]))
    encoded = [[next(sentences) for _ in choice.options] for choice in choices]
    for number, (choice, sentences_of) in enumerate(zip(choices, encoded, strict=True), 1):
        for option, sentence in zip(choice.options, sentences_of, strict=True):
            scorer.check(sentence, option, choice.place or f"choice {number}")
    return encoded


def _before(context: str, option: str, separator: str) -> str:
    apart = not context or context[-1].isspace() or option[0].isspace()
    return context if apart else context + separator


def score_choices(
    scorer: SentenceScorer,
    choices: Sequence[Choice],
    encoded: Encoded,
    normalization: Normalization = "sum",
    update: Callable[[int], object] | None = None,
) -> PairScores:
    """The scores of the right options, as `good`, and of the best of the others, as `bad`: a tie of these is one of
    the right option with the best.

    Raises:
        UserError: the model lacks what the scorer needs, or gives NaN.
    """
    of = scorer.score_sentences((sentence for options in encoded for sentence in options), update)
    good, bad = [], []
    for choice, options in zip(choices, encoded, strict=True):
        scores = [
            of[sentence] / _size(option, sentence, normalization)
            for option, sentence in zip(choice.options, options, strict=True)
        ]
        good.append(scores.pop(choice.label))
        bad.append(max(scores))
    return PairScores(np.array(good), np.array(bad))


def _size(option: str, sentence: Sentence, normalization: Normalization) -> int:
    return {"sum": 1, "tokens": len(sentence.scored), "characters": len(option.strip())}[normalization]
