"""How probable a generator, or how original a discriminator, holds the two sentences of a minimal pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..halves import ScorerName
from ..sentence_scores import PllMetric, Sentence, SentenceScorer

__all__ = ["PairScorer", "PairScores", "score_pairs"]


@dataclass(frozen=True)
class PairScores:
    """Scores of pairs in nats, the higher the more acceptable the model holds the sentence; arrays `(pairs,)`."""

    good: NDArray[np.float64]
    bad: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the acceptable sentence has the higher score; a tie is wrong."""
        return self.good > self.bad

    @property
    def ties(self) -> NDArray[np.bool_]:
        """Whether both sentences have the same score."""
        return self.good == self.bad


def score_pairs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[Any, ...]],
    scorer: ScorerName = "generator",
    *,
    batch_size: int = 128,
    pll_metric: PllMetric = "original",
) -> PairScores:
    """Scores minimal pairs, on the device of `model` and without dropout. Special tokens do not count.

    - `"generator"`: the masked pseudo-log-likelihood (Salazar et al. 2020): each token is masked in turn; the sum of
      the log-probabilities of the original tokens.
    - `"discriminator"`: the sum of the log-probabilities that each token is original, log sigmoid(-logit), in one pass
      of the intact sentence (cf. Electric, Clark et al. 2020).

    Sentences of the same tokens have the same score to the last bit, so that ties are seen as such.

    Args:
        model: a pair ([`MclForPreTraining`]) for both scorers; for the generator any masked language model; for the
            discriminator one with a logit a token, positive = replaced ([`MclDiscriminator`],
            [`~transformers.ElectraForPreTraining`]). It is left in the mode, training or evaluation, that it came in.
        tokenizer: the model's.
        pairs: of each pair the acceptable sentence and the other one; further items, as those of a
            [`~evaluation.minimal_pairs.Pair`], are for messages only.
        scorer: see above.
        batch_size: rows in one forward pass; the generator has one for every token.
        pll_metric: `"within_word_l2r"` also masks the later tokens of the same word (Kauf and Ivanova 2023), so that
            rare words of many pieces do not score too high. For the generator, with a fast tokenizer.

    Raises:
        UserError: a sentence without tokens or longer than the model has positions for; a model that lacks what
            `scorer` needs, or gives NaN; a tokenizer without a mask token.
    """
    pair_scorer = PairScorer(model, tokenizer, scorer, batch_size=batch_size, pll_metric=pll_metric)
    return pair_scorer.score(pair_scorer.encode(pairs))


class PairScorer(SentenceScorer):
    """[`score_pairs`] in two steps, for those who want to know what there is to do, or how far it is.

    Its arguments are those of [`SentenceScorer`].
    """

    def encode(self, pairs: Sequence[tuple[Any, ...]]) -> list[tuple[Sentence, Sentence]]:
        """The pairs as tokens.

        Raises:
            UserError: a sentence without tokens, longer than the model has positions for, or with tokens that it does
                not have, and where it stands.
        """
        sides = (self.encode_texts([pair[side] for pair in pairs]) for side in (0, 1))
        encoded = list(zip(*sides, strict=True))
        for number, (pair, sentences) in enumerate(zip(pairs, encoded, strict=True), 1):
            for text, sentence in zip(pair[:2], sentences, strict=True):
                self.check(sentence, text, getattr(pair, "place", "") or f"pair {number}")
        return encoded

    def count_rows(self, encoded: Sequence[tuple[Sentence, Sentence]]) -> int:
        """The rows that forward passes over these pairs will have, all together."""
        return self.rows_of(sentence for pair in encoded for sentence in pair)

    def score(
        self, encoded: Sequence[tuple[Sentence, Sentence]], update: Callable[[int], object] | None = None
    ) -> PairScores:
        """The scores of pairs that `encode` returned; `update` is told the number of rows of each forward pass.

        Raises:
            UserError: the model lacks what the scorer needs, or gives NaN.
        """
        of = self.score_sentences((sentence for pair in encoded for sentence in pair), update)
        scores = np.array([[of[good], of[bad]] for good, bad in encoded]).reshape(-1, 2)
        return PairScores(scores[:, 0], scores[:, 1])
