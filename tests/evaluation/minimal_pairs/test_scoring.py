from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertTokenizer

from transformers_mcl import MclDiscriminator, MclForMaskedLM, UserError
from transformers_mcl.evaluation import sentence_scores as module
from transformers_mcl.evaluation.halves import ScorerName
from transformers_mcl.evaluation.minimal_pairs import Pair, PairScorer, score_pairs


def halves(model: Any) -> tuple[Any, Any]:
    """Functions from one unpadded row to vocabulary logits and to detection logits, by the models' plain forward."""
    generator = getattr(model, "generator", model)
    if not hasattr(model, "discriminator_predictions"):
        return lambda ids: generator(ids).logits[0], None
    return (
        lambda ids: generator(ids).logits[0],
        lambda ids: model.discriminator_predictions(model.electra(ids).last_hidden_state)[0],
    )


@torch.no_grad()
def slowly(model: Any, tokenizer: Any, text: str, scorer: str, by_word: bool = False) -> float:
    """One sentence, one mask, one forward pass at a time."""
    model.eval()
    generate, detect = halves(model)
    encoding = tokenizer(text)
    ids, words = encoding["input_ids"], encoding.word_ids()
    total = 0.0
    for position in range(1, len(ids) - 1):
        if scorer == "discriminator":
            total += float(torch.sigmoid(-detect(torch.tensor([ids]))[position]).log())
            continue
        masked = list(ids)
        for hidden in range(position, len(ids)):
            if hidden == position or (by_word and words[hidden] == words[position]):
                masked[hidden] = tokenizer.mask_token_id
        total += float(generate(torch.tensor([masked]))[position].log_softmax(-1)[ids[position]])
    return total


@pytest.mark.parametrize("batch_size", [1, 3, 128])
@pytest.mark.parametrize(
    ("kind", "scorer"),
    [("mcl", "generator"), ("mcl", "discriminator"), ("bert", "generator"), ("electra", "discriminator")],
)
def test_scores_are_those_of_one_sentence_and_one_mask_at_a_time(
    kind: str, scorer: ScorerName, batch_size: int, models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair]
) -> None:
    scores = score_pairs(models[kind], tokenizer, pairs, scorer, batch_size=batch_size)
    for found, texts in ((scores.good, [pair.good for pair in pairs]), (scores.bad, [pair.bad for pair in pairs])):
        assert found == pytest.approx([slowly(models[kind], tokenizer, text, scorer) for text in texts], abs=2e-5)
    assert list(scores.correct) == [good > bad for good, bad in zip(scores.good, scores.bad, strict=True)]


def test_within_a_word_later_pieces_are_masked_too(
    models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair]
) -> None:
    by_word = score_pairs(models["mcl"], tokenizer, pairs, pll_metric="within_word_l2r", batch_size=4)
    plain = score_pairs(models["mcl"], tokenizer, pairs)
    expected = [slowly(models["mcl"], tokenizer, pair.good, "generator", by_word=True) for pair in pairs]
    assert by_word.good == pytest.approx(expected, abs=2e-5)
    one_piece_a_word = [all(token[:2] != "##" for token in tokenizer.tokenize(pair.good)) for pair in pairs]
    assert list(np.isclose(by_word.good, plain.good)) == one_piece_a_word
    assert len(set(one_piece_a_word)) == 2


@pytest.mark.parametrize("scorer", ["generator", "discriminator"])
def test_each_half_alone_scores_as_in_the_pair(
    scorer: ScorerName, models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair], tmp_path: Any
) -> None:
    models["mcl"].save_pretrained(tmp_path)
    half: Any = (MclForMaskedLM if scorer == "generator" else MclDiscriminator).from_pretrained(tmp_path)
    expected = score_pairs(models["mcl"], tokenizer, pairs, scorer)
    assert score_pairs(half, tokenizer, pairs, scorer).good == pytest.approx(expected.good, abs=2e-5)


class Planted(nn.Module):
    """A discriminator whose logit, or a masked language model whose logits, are a token's own number in a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table, self.device, self.dtype = table, torch.device("cpu"), torch.float32
        self.config = BertConfig(max_position_embeddings=24)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[input_ids])


def test_a_positive_logit_is_replaced(tokenizer: BertTokenizer) -> None:
    table = torch.zeros(len(tokenizer))
    table[tokenizer.convert_tokens_to_ids("meal")] = 3.0
    table[tokenizer.cls_token_id] = 50.0  # special tokens do not count
    model: Any = Planted(table)
    scores = score_pairs(model, tokenizer, [("the chef", "the meal"), ("the meal", "the chef")], "discriminator")
    assert list(scores.correct) == [True, False]
    original = F.logsigmoid(torch.tensor([0.0, -3.0]))
    assert scores.bad[0] == pytest.approx(float(original.sum()))


@pytest.mark.parametrize("scorer", ["generator", "discriminator"])
def test_a_constant_scorer_is_never_right(scorer: ScorerName, tokenizer: BertTokenizer) -> None:
    rows = [("the chef cook meal . " * n, "meal the chef cook . " * n) for n in (1, 2, 4)]
    size = (len(tokenizer), len(tokenizer)) if scorer == "generator" else (len(tokenizer),)
    model: Any = Planted(torch.full(size, 0.37))
    for batch_size in (1, 2, 64):
        scores = score_pairs(model, tokenizer, rows, scorer, batch_size=batch_size)
        assert not scores.correct.any()
        assert scores.ties.all()


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("scorer", ["generator", "discriminator"])
def test_what_the_model_cannot_tell_apart_is_a_tie(
    scorer: ScorerName, batch_size: int, models: dict[str, Any], tokenizer: BertTokenizer
) -> None:
    """Case and unknown words leave the same tokens; they come in batches of other widths, and still score the same."""
    rows = [("The meal", "the MEAL"), ("the chef xyz", "the chef zyx"), ("the chef slept the meal .", "the chef")]
    scores = score_pairs(models["mcl"], tokenizer, rows, scorer, batch_size=batch_size)
    assert list(scores.ties) == [True, True, False]
    assert not scores.correct[:2].any()


def test_the_mode_stays_and_dropout_is_off(
    models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair]
) -> None:
    expected = score_pairs(models["mcl"].eval(), tokenizer, pairs, "discriminator")
    assert models["mcl"].config.hidden_dropout_prob > 0
    found = score_pairs(models["mcl"].train(), tokenizer, pairs, "discriminator")
    assert models["mcl"].training
    assert list(found.good) == list(expected.good)


def test_rows_are_counted_before_and_as_they_come(
    models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair]
) -> None:
    for name in ("generator", "discriminator"):
        scorer = PairScorer(models["mcl"], tokenizer, name, batch_size=7)
        encoded = scorer.encode([*pairs, *pairs])
        texts = {text for pair in pairs for text in pair[:2]}
        tokens = sum(len(tokenizer.tokenize(text)) for text in texts)
        assert scorer.count_rows(encoded) == (tokens if name == "generator" else len(texts))
        seen: list[int] = []
        scorer.score(encoded, seen.append)
        assert sum(seen) == scorer.count_rows(encoded)
        assert max(seen) == 7


@pytest.mark.parametrize("scorer", ["generator", "discriminator"])
def test_processes_score_each_batch_once(
    scorer: ScorerName,
    models: dict[str, Any],
    tokenizer: BertTokenizer,
    pairs: list[Pair],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = score_pairs(models["mcl"], tokenizer, pairs, scorer, batch_size=3)
    shared = PairScorer(models["mcl"], tokenizer, scorer, batch_size=3, shared=True)
    encoded = shared.encode(pairs)
    shares: list[Any] = []

    def gather(found: Any) -> Any:
        shares.append(found)
        return sum(shares, [])

    monkeypatch.setattr(module, "gather_object", gather)
    for rank in range(2):
        state = SimpleNamespace(num_processes=2, process_index=rank)
        monkeypatch.setattr(module, "PartialState", lambda state=state: state)
        seen: list[int] = []
        together = shared.score(encoded, seen.append)
        assert sum(seen) == shared.count_rows(encoded)
    assert [len(numbers) > 0 for share in shares for numbers, _ in share] == [True] * sum(map(len, shares))
    assert abs(len(shares[0]) - len(shares[1])) <= 1
    assert list(together.good) == list(alone.good)
    assert list(together.bad) == list(alone.bad)


@pytest.mark.parametrize(
    ("kind", "scorer", "rows", "words"),
    [
        ("bert", "discriminator", [("the", "meal")], ["discriminator", "BertForMaskedLM", "no head for replaced"]),
        (
            "electra",
            "generator",
            [("the", "meal")],
            ["generator", "ElectraForPreTraining", "no masked language model"],
        ),
        ("mcl", "both", [("the", "meal")], ["scorer", "'both'", "generator, discriminator"]),
        ("mcl", "generator", [("the", "meal"), ("the", "meal " * 23)], ["pair 2", "'meal meal", "25 tokens", "24"]),
        ("mcl", "generator", [Pair("the", " ", place="line 8 of 'x'")], ["line 8 of 'x'", "empty"]),
    ],
)
def test_mistakes(
    kind: str, scorer: Any, rows: Any, words: list[str], models: dict[str, Any], tokenizer: BertTokenizer
) -> None:
    with pytest.raises(UserError) as error:
        score_pairs(models[kind], tokenizer, rows, scorer)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_tokenizer_of_another_model(models: dict[str, Any], tokenizer: BertTokenizer) -> None:
    larger = BertTokenizer(vocab={**tokenizer.get_vocab(), "mouse": len(tokenizer)})
    with pytest.raises(UserError, match="pair 2: the sentence 'the mouse' has token 15; the model has 15 entries"):
        score_pairs(models["mcl"], larger, [("the chef", "chef"), ("the mouse", "mouse")])


def test_nan_is_no_score(tokenizer: BertTokenizer) -> None:
    model: Any = Planted(torch.full((len(tokenizer),), torch.nan))
    with pytest.raises(UserError, match="NaN"):
        score_pairs(model, tokenizer, [("the", "meal")], "discriminator")


def test_no_pairs_no_scores(models: dict[str, Any], tokenizer: BertTokenizer) -> None:
    assert score_pairs(models["mcl"], tokenizer, []).good.shape == (0,)
