"""Both halves of pairs, and plain encoders, of every family as judges of sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM

from tests.families import ADAPTED, demo_tokenizer, each, save_encoder, tiny_pair
from transformers_mcl import UserError
from transformers_mcl.evaluation.halves import open_scorers
from transformers_mcl.evaluation.minimal_pairs import score_pairs

TEXTS = ("the chef cooked a meal .", "who ate ?")
FAMILY = each(ADAPTED)


@torch.no_grad()
def pseudo_log_likelihood(generator: Any, text: str) -> float:
    """One mask and one forward pass at a time."""
    tokenizer = demo_tokenizer()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    total = 0.0
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = tokenizer.mask_token_id
        total += float(generator(masked).logits[0, place].log_softmax(-1)[ids[0, place]])
    return total


@FAMILY
@pytest.mark.parametrize("shares", ["token", "gdes"])
def test_both_halves_of_a_pair_judge(family: str, shares: str, tmp_path: Path) -> None:
    pair, tokenizer = tiny_pair(family, generator_shares=shares), demo_tokenizer()
    pair.save_pretrained(tmp_path)
    models = open_scorers(str(tmp_path), None, "float32", pytest.fail)
    assert list(models) == ["generator", "discriminator"]
    original = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            verdicts = pair.discriminator_predictions(pair.discriminator(ids)[0])[0, 1:-1]
        original.append(float(F.logsigmoid(-verdicts).sum()))
    likely = [pseudo_log_likelihood(pair.generator, text) for text in TEXTS]
    for scorer, expected in (("generator", likely), ("discriminator", original)):
        for model in (models[scorer], pair):  # type: ignore[index]
            found = score_pairs(model, tokenizer, [TEXTS], scorer, batch_size=3)  # type: ignore[arg-type]
            assert [found.good[0], found.bad[0]] == pytest.approx(expected, abs=1e-4)


@FAMILY
def test_a_plain_masked_language_model_judges_rows_as_long_as_it_takes(family: str, tmp_path: Path) -> None:
    """RoBERTa's first position is that after padding: its table of 13 is for rows of 12."""
    folder, tokenizer = save_encoder(tmp_path, family, AutoModelForMaskedLM, length=12), demo_tokenizer()
    said: list[str] = []
    models = open_scorers(str(folder), None, "float32", lambda line: said.append(line))
    assert list(models) == ["generator"] and "has no discriminator" in said[0]
    model, longest = models["generator"], " ".join(["the"] * 10)
    found = score_pairs(model, tokenizer, [(longest, "who ate ?")])
    assert found.good[0] == pytest.approx(pseudo_log_likelihood(model.eval(), longest), abs=1e-4)
    with pytest.raises(UserError, match="has 13 tokens; the model takes 12"):
        score_pairs(model, tokenizer, [(f"{longest} the", "who ate ?")])
