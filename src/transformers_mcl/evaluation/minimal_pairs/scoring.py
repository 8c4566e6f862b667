"""How probable a generator, or how original a discriminator, holds the two sentences of a minimal pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...errors import UserError
from ...method.courses import MAIN_COURSE
from ...models.modeling_mcl import MclForMaskedLM
from ...models.pretraining import MclForPreTraining
from ...models.structure import longest_row
from ..halves import ScorerName

__all__ = ["PairScorer", "PairScores", "PllMetric", "score_pairs"]

PllMetric = Literal["original", "within_word_l2r"]


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


class Sentence(NamedTuple):
    """A tokenized sentence."""

    ids: tuple[int, ...]  # with the special tokens that the tokenizer adds
    scored: tuple[int, ...]  # positions of the others, which are those that count
    words: tuple[int | None, ...] = ()  # of each position, None at special tokens; empty where no one asks


class _Row(NamedTuple):
    """One row of a forward pass: what the model reads, and the positions whose log-probability is taken."""

    ids: list[int]
    positions: tuple[int, ...]
    sentence: int  # its number among those scored together


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


class PairScorer:
    """[`score_pairs`] in two steps, for those who want to know what there is to do, or how far it is.

    Args:
        model, tokenizer, scorer, batch_size, pll_metric: those of [`score_pairs`].
        shared: all processes of a launch score the same pairs together. Each does its share of the batches, which are
            the same however many processes there are, and all of them get all scores.

    Raises:
        UserError: no such scorer, or a tokenizer that the scorer cannot work with.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scorer: ScorerName,
        *,
        batch_size: int = 128,
        pll_metric: PllMetric = "original",
        shared: bool = False,
    ) -> None:
        if scorer not in ("generator", "discriminator"):
            raise UserError(f"scorer: unknown {scorer!r}; choose from generator, discriminator")
        name = tokenizer.name_or_path or type(tokenizer).__name__
        masks = scorer == "generator"
        if masks and tokenizer.mask_token_id is None:
            raise UserError(f"tokenizer: {name!r} has no mask token, which the scorer {scorer} needs")
        if pll_metric == "within_word_l2r" and not tokenizer.is_fast:
            raise UserError(f"tokenizer: {name!r} is not a fast tokenizer, which pll_metric={pll_metric} needs")
        self.model, self.tokenizer, self.batch_size, self.shared = model, tokenizer, batch_size, shared
        self.masks, self.by_word = masks, masks and pll_metric == "within_word_l2r"

    def encode(self, pairs: Sequence[tuple[Any, ...]]) -> list[tuple[Sentence, Sentence]]:
        """The pairs as tokens.

        Raises:
            UserError: a sentence without tokens, longer than the model has positions for, or with tokens that it does
                not have, and where it stands.
        """
        good = self._encode([pair[0] for pair in pairs])
        encoded = list(zip(good, self._encode([pair[1] for pair in pairs]), strict=True))
        longest = min(longest_row(self.model) or 2**31, self.tokenizer.model_max_length)
        entries = getattr(self.model.config, "vocab_size", 2**31)
        for number, (pair, sentences) in enumerate(zip(pairs, encoded, strict=True), 1):
            for text, sentence in zip(pair[:2], sentences, strict=True):
                if not sentence.scored:
                    what = "is empty"
                elif len(sentence.ids) > longest:
                    what = f"has {len(sentence.ids)} tokens; the model takes {longest}"
                elif (last := max(sentence.ids)) >= entries:
                    what = f"has token {last}; the model has {entries} entries: is the tokenizer another model's?"
                else:
                    continue
                raise UserError(f"{getattr(pair, 'place', '') or f'pair {number}'}: the sentence {text[:60]!r} {what}")
        return encoded

    def _encode(self, texts: list[str]) -> list[Sentence]:
        if not texts:
            return []
        encoding = self.tokenizer(texts, return_special_tokens_mask=True, return_attention_mask=False)
        return [
            Sentence(
                tuple(ids),
                tuple(i for i, is_special in enumerate(special) if not is_special),
                tuple(encoding.word_ids(number)) if self.by_word else (),
            )
            for number, (ids, special) in enumerate(
                zip(encoding["input_ids"], encoding["special_tokens_mask"], strict=True)
            )
        ]

    def count_rows(self, encoded: Sequence[tuple[Sentence, Sentence]]) -> int:
        """The rows that forward passes over these pairs will have, all together."""
        return sum(len(sentence.scored) if self.masks else 1 for sentence in _unique(encoded))

    @torch.no_grad()
    def score(
        self, encoded: Sequence[tuple[Sentence, Sentence]], update: Callable[[int], object] | None = None
    ) -> PairScores:
        """The scores of pairs that `encode` returned; `update` is told the number of rows of each forward pass.

        Raises:
            UserError: the model lacks what the scorer needs, or gives NaN.
        """
        # The longest first: what does not fit into memory fails at once. Each sentence once: a tie stays one.
        sentences = sorted(_unique(encoded), key=lambda sentence: len(sentence.ids), reverse=True)
        was_training = self.model.training
        self.model.eval()
        try:
            found = self._score_batches(sentences, update or (lambda rows: None))
        finally:
            self.model.train(was_training)
        # In float64 a sum of float32 numbers is exact, so that it does not depend on their order.
        sums = np.zeros(len(sentences))
        for numbers, tokens in gather_object(found) if self.shared else found:
            np.add.at(sums, numbers, tokens)
        if np.isnan(sums).any():
            raise UserError(f"{type(self.model).__name__} gives NaN; its weights may have diverged in training")
        of = dict(zip(sentences, sums, strict=True))
        scores = np.array([[of[good], of[bad]] for good, bad in encoded]).reshape(-1, 2)
        return PairScores(scores[:, 0], scores[:, 1])

    def _score_batches(
        self, sentences: Sequence[Sentence], update: Callable[[int], object]
    ) -> list[tuple[list[int], NDArray[np.float32]]]:
        """Of each batch of this process, the sentences that its tokens are of, and their log-probabilities."""
        state = PartialState() if self.shared else None
        found: list[tuple[list[int], NDArray[np.float32]]] = []
        rows = self._rows(sentences)
        for number, batch in enumerate(iter(lambda: list(islice(rows, self.batch_size)), [])):
            if state is None or number % state.num_processes == state.process_index:
                of = [row.sentence for row in batch for _ in row.positions]
                found.append((of, self._log_probabilities(batch, sentences).cpu().numpy()))
            update(len(batch))
        return found

    def _rows(self, sentences: Sequence[Sentence]) -> Iterator[_Row]:
        for number, (ids, scored, words) in enumerate(sentences):
            if not self.masks:
                yield _Row(list(ids), scored, number)
                continue
            for position in scored:
                row = list(ids)
                for hidden in scored if self.by_word else (position,):
                    if hidden >= position and (not self.by_word or words[hidden] == words[position]):
                        row[hidden] = self.tokenizer.mask_token_id
                yield _Row(row, (position,), number)

    def _log_probabilities(self, rows: Sequence[_Row], sentences: Sequence[Sentence]) -> Tensor:
        """Float32 `(tokens,)`: of each of the rows' positions, one after the other."""
        device, pad = self.model.device, self.tokenizer.pad_token_id or 0
        ids = pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True, padding_value=pad).to(device)
        lengths = torch.tensor([len(row.ids) for row in rows], device=device)
        mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
        places = [(number, position) for number, row in enumerate(rows) for position in row.positions]
        at = torch.tensor(places, device=device).T
        if not self.masks:
            return F.logsigmoid(-_detection_logits(self.model, ids, mask)[*at].float())
        targets = [sentences[row.sentence].ids[position] for row in rows for position in row.positions]
        logits = _vocabulary_logits(self.model, ids, mask, at)
        return -F.cross_entropy(logits.float(), torch.tensor(targets, device=device), reduction="none")


def _vocabulary_logits(model: Any, ids: Tensor, mask: Tensor, at: Tensor) -> Tensor:
    """`(rows, vocabulary)`, at one position `at` `(2, rows)` of each row; where it can, projected there alone."""
    if isinstance(model, MclForPreTraining):
        return model.predict_at(ids, mask, at[1][:, None])[:, 0]
    if isinstance(model, MclForMaskedLM):
        return model.generator.logits_at(ids, mask, at[1][:, None])[:, 0]
    logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    if logits.dim() != 3:
        raise UserError(f"scorer generator: {type(model).__name__} is no masked language model")
    return logits[*at]


def _detection_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """`(rows, length)`, positive = replaced."""
    if isinstance(model, MclForPreTraining):
        return model.detect(MAIN_COURSE, ids, mask)
    logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    if logits.shape != ids.shape:
        raise UserError(f"scorer discriminator: {type(model).__name__} has no head for replaced tokens")
    return logits


def _unique(encoded: Sequence[tuple[Sentence, Sentence]]) -> list[Sentence]:
    return list(dict.fromkeys(sentence for pair in encoded for sentence in pair))
