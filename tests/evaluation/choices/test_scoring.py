"""Scores of options, against masking by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from tests.families import demo_tokenizer, tiny_pair
from transformers_mcl import MclForPreTraining, UserError
from transformers_mcl.evaluation.choices import Choice, encode_choices, score_choices
from transformers_mcl.evaluation.sentence_scores import Sentence, SentenceScorer

CHOICES = [
    Choice("The ship went", ("down in the sea.", "up."), 1),
    Choice("", ("What is it?", "It is a ship.", "So it is."), 0),
    Choice("The old man ", (" saw the sea", "saw the sea"), 0),
]


@pytest.fixture(scope="module")
def pair() -> MclForPreTraining:
    return tiny_pair("mcl")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return demo_tokenizer()


def by_hand(pair: Any, tokenizer: Any, scorer: str, context: str, option: str) -> list[float]:
    """The log-probabilities of the option's tokens, with the context before it."""
    ids = tokenizer(f"{context} {option}" if context else option)["input_ids"]
    first = len(tokenizer(context, add_special_tokens=False)["input_ids"]) + 1
    found = []
    for position in range(first, len(ids) - 1):
        row = torch.tensor([ids])
        with torch.no_grad():
            if scorer == "discriminator":
                logit = pair.detect("rtd", row, torch.ones_like(row))[0, position]
                found.append(torch.nn.functional.logsigmoid(-logit).item())
            else:
                row[0, position] = tokenizer.mask_token_id
                logits = pair.predict_at(row, torch.ones_like(row), torch.tensor([[position]]))[0, 0]
                found.append(logits.log_softmax(-1)[ids[position]].item())
    return found


@pytest.mark.parametrize("scorer", ["generator", "discriminator"])
@pytest.mark.parametrize("normalization", ["sum", "tokens", "characters"])
def test_options_are_scored_in_their_context(scorer: Any, normalization: Any, pair: Any, tokenizer: Any) -> None:
    of = SentenceScorer(pair, tokenizer, scorer, batch_size=3)
    found = score_choices(of, CHOICES, encode_choices(of, CHOICES), normalization)
    for number, choice in enumerate(CHOICES[:2]):
        scores = []
        for option in choice.options:
            tokens = by_hand(pair, tokenizer, scorer, choice.context, option)
            divisor = {"sum": 1, "tokens": len(tokens), "characters": len(option)}[normalization]
            scores.append(sum(tokens) / divisor)
        right = scores.pop(choice.label)
        np.testing.assert_allclose([found.good[number], found.bad[number]], [right, max(scores)], rtol=1e-4)
    assert found.ties.tolist() == [False, False, True], "the same tokens"


def test_separators_stand_where_there_is_no_space(pair: Any, tokenizer: Any) -> None:
    texts: list[tuple[str, int]] = []

    class Recorder(SentenceScorer):
        def encode_texts(self, given: Sequence[str], starts: Sequence[int] | None = None) -> list[Sentence]:
            texts.extend(zip(given, starts or [], strict=True))
            return super().encode_texts(given, starts)

    choices = [Choice("a", ("b", " b"), 0), Choice("a ", ("b", "c"), 0), Choice("", ("b", "c"), 0)]
    encode_choices(Recorder(pair, tokenizer, "generator"), choices, "_")
    assert texts == [("a_b", 2), ("a b", 1), ("a b", 2), ("a c", 2), ("b", 0), ("c", 0)]


def test_a_text_that_is_too_long_is_named(pair: Any, tokenizer: Any) -> None:
    long = Choice("a " * 80, ("b", "c"), 0, place="'x.jsonl', line 3")
    with pytest.raises(UserError, match=r"'x.jsonl', line 3: the sentence 'b' has \d+ tokens; the model takes 64"):
        encode_choices(SentenceScorer(pair, tokenizer, "generator"), [long])
