"""The check tells a pair that knows the text from one that knows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from transformers_mcl import MclConfig, MclDiscriminator, MclForPreTraining, UserError
from transformers_mcl.data import train_tokenizer
from transformers_mcl.hub.fairseq import check
from transformers_mcl.models.modeling_mcl import MclGenerator

TEXT = check.PROSE.read_text(encoding="utf-8")
SHORT = " ".join(TEXT.split()[:60])


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    return train_tokenizer([SHORT] * 3, 200)


def make_pair(tokenizer: PreTrainedTokenizerFast) -> MclForPreTraining:
    torch.manual_seed(0)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    return MclForPreTraining(MclConfig.tiny(vocab_size=len(tokenizer), objective="electra", **ids))


def test_the_text_is_a_few_hundred_words() -> None:
    assert 300 < len(TEXT.split()) < 500
    assert TEXT.isascii()


def test_a_pair_that_knows_the_text_is_far_from_chance(
    words: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.txt").write_text(SHORT)
    monkeypatch.setattr(check, "PROSE", tmp_path / "short.txt")
    make_pair(words).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    (row,) = check._rows(words, 128)

    def knows(self: MclGenerator, ids: Tensor, mask: Tensor | None, positions: Tensor, _: Tensor | None) -> Tensor:
        # Its first choice is right; its samples, of which the discriminator reads, often are not.
        return 4.0 * torch.nn.functional.one_hot(row.gather(1, positions), len(words))

    def judges(ids: Tensor) -> Tensor:
        return torch.where(ids == row, -1.0, 1.0)

    new = check.check_pair(tmp_path)
    assert new == check.check_pair(tmp_path)  # the same draws
    assert new.generator_accuracy < 0.1
    assert abs(new.detection_auc - 0.5) < 0.1
    monkeypatch.setattr(MclGenerator, "logits_at", knows)
    monkeypatch.setattr(MclForPreTraining, "encode", lambda self, ids, *_: ids)
    monkeypatch.setattr(MclForPreTraining, "detection_head", lambda self, course: judges)
    told = check.check_pair(tmp_path)
    assert (told.generator_accuracy, told.detection_auc, told.detection_accuracy) == (1.0, 1.0, 1.0)
    assert 0.85 < told.detection_chance < 0.95  # most tokens are original
    assert 0.01 < told.generator_chance < 0.1
    assert told.unknown == 0
    assert told.tokens == row.numel() > 60
    assert "100.0%" in str(told)


def test_what_cannot_be_checked_is_said(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    pair = make_pair(words)
    pair.save_pretrained(tmp_path / "pair")
    with pytest.raises(UserError, match="without a tokenizer"):
        check.check_pair(tmp_path / "pair")
    MclDiscriminator(pair.config).save_pretrained(tmp_path / "half")
    with pytest.raises(UserError, match="holds no pair"):
        check.check_pair(tmp_path / "half")
