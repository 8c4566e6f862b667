"""The check tells a pair that knows the text from one that knows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertTokenizer

from transformers_mcl import MclConfig, MclDiscriminator, MclForPreTraining, UserError
from transformers_mcl.data.tokenizer import train_tokenizer
from transformers_mcl.hub.fairseq import check

TEXT = check.PROSE.read_text(encoding="utf-8")
SHORT = " ".join(TEXT.split()[:60])


@pytest.fixture(scope="module")
def words() -> BertTokenizer:
    return train_tokenizer([SHORT] * 3, 200)


def make_pair(tokenizer: BertTokenizer) -> MclForPreTraining:
    torch.manual_seed(0)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    return MclForPreTraining(MclConfig.tiny(vocab_size=len(tokenizer), objective="electra", **ids))


def test_the_text_is_a_few_hundred_words() -> None:
    assert 300 < len(TEXT.split()) < 500
    assert TEXT.isascii()


def test_a_pair_that_learnt_the_text_is_far_from_chance(
    words: BertTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.txt").write_text(SHORT)
    monkeypatch.setattr(check, "PROSE", tmp_path / "short.txt")
    pair = make_pair(words)
    for folder in ("new", "trained"):
        if folder == "trained":
            (row,) = check._rows(words, 128)
            optimizer = torch.optim.AdamW(pair.parameters(), lr=2e-3)
            for _ in range(150):
                pair(row.expand(4, -1)).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        pair.save_pretrained(tmp_path / folder)
        words.save_pretrained(tmp_path / folder)
    new, trained = (check.check_pair(tmp_path / folder) for folder in ("new", "trained"))
    assert new.generator_accuracy < 0.1
    assert abs(new.detection_auc - 0.5) < 0.1
    assert trained.generator_accuracy > 3 * trained.generator_chance
    assert trained.detection_auc > 0.7
    assert trained == check.check_pair(tmp_path / "trained")  # the same draws
    assert new.unknown == trained.unknown == 0
    assert new.tokens == trained.tokens > 60
    assert f"{trained.generator_accuracy:.1%}" in str(trained)


def test_what_cannot_be_checked_is_said(words: BertTokenizer, tmp_path: Path) -> None:
    pair = make_pair(words)
    pair.save_pretrained(tmp_path / "pair")
    with pytest.raises(UserError, match="without a tokenizer"):
        check.check_pair(tmp_path / "pair")
    MclDiscriminator(pair.config).save_pretrained(tmp_path / "half")
    with pytest.raises(UserError, match="holds no pair"):
        check.check_pair(tmp_path / "half")
