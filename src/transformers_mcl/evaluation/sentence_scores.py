"""How probable a generator, or how original a discriminator, holds the tokens of a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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

from ..errors import UserError
from ..method.courses import MAIN_COURSE
from ..models.modeling_mcl import MclForMaskedLM
from ..models.pretraining import MclForPreTraining
from ..models.structure import longest_row
from .halves import ScorerName

__all__ = ["PllMetric", "Sentence", "SentenceScorer"]

PllMetric = Literal["original", "within_word_l2r"]


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


class SentenceScorer:
    """Scores sentences by one half of a pair; see [`score_pairs`] for what a score is.

    Args:
        model, tokenizer, scorer, batch_size, pll_metric: those of [`score_pairs`].
        shared: all processes of a launch score the same sentences together. Each does its share of the batches, which
            are the same however many processes there are, and all of them get all scores.

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
        self._longest = min(longest_row(model) or 2**31, tokenizer.model_max_length)
        self._entries = getattr(model.config, "vocab_size", 2**31)

    def encode_texts(self, texts: Sequence[str], starts: Sequence[int] | None = None) -> list[Sentence]:
        """Texts as tokens, of which those count that are not special.

        Args:
            starts: with these, those alone that reach beyond this character; it needs a fast tokenizer.
        """
        if not texts:
            return []
        asked = {"return_special_tokens_mask": True, "return_attention_mask": False}
        encoding = self.tokenizer(list(texts), **asked, return_offsets_mapping=starts is not None)
        sentences = []
        for number, (ids, special) in enumerate(
            zip(encoding["input_ids"], encoding["special_tokens_mask"], strict=True)
        ):
            scored = [i for i, is_special in enumerate(special) if not is_special]
            if starts is not None:
                scored = [i for i in scored if encoding["offset_mapping"][number][i][1] > starts[number]]
            words = tuple(encoding.word_ids(number)) if self.by_word else ()
            sentences.append(Sentence(tuple(ids), tuple(scored), words))
        return sentences

    def check(self, sentence: Sentence, text: str, place: str) -> None:
        """That the model can score a sentence.

        Raises:
            UserError: it has no tokens, more than the model has positions for, or some that the model does not have;
                `text` and `place` say which it is.
        """
        if not sentence.scored:
            what = "is empty"
        elif len(sentence.ids) > self._longest:
            what = f"has {len(sentence.ids)} tokens; the model takes {self._longest}"
        elif (last := max(sentence.ids)) >= self._entries:
            what = f"has token {last}; the model has {self._entries} entries: is the tokenizer another model's?"
        else:
            return
        raise UserError(f"{place}: the sentence {text[:60]!r} {what}")

    def rows_of(self, sentences: Iterable[Sentence]) -> int:
        """The rows that forward passes over these sentences, each once, will have all together."""
        return sum(len(sentence.scored) if self.masks else 1 for sentence in dict.fromkeys(sentences))

    @torch.no_grad()
    def score_sentences(
        self, sentences: Iterable[Sentence], update: Callable[[int], object] | None = None
    ) -> dict[Sentence, float]:
        """The sum of the log-probabilities of each sentence, nats; `update` is told the number of rows of each forward
        pass.

        Raises:
            UserError: the model lacks what the scorer needs, or gives NaN.
        """
        # The longest first: what does not fit into memory fails at once. Each sentence once: a tie stays one.
        ordered = sorted(dict.fromkeys(sentences), key=lambda sentence: len(sentence.ids), reverse=True)
        was_training = self.model.training
        self.model.eval()
        try:
            found = self._score_batches(ordered, update or (lambda rows: None))
        finally:
            self.model.train(was_training)
        # In float64 a sum of float32 numbers is exact, so that it does not depend on their order.
        sums = np.zeros(len(ordered))
        for numbers, tokens in gather_object(found) if self.shared else found:
            np.add.at(sums, numbers, tokens)
        if np.isnan(sums).any():
            raise UserError(f"{type(self.model).__name__} gives NaN; its weights may have diverged in training")
        return dict(zip(ordered, sums.tolist(), strict=True))

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
