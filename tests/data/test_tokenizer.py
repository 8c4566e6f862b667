from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModel, AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from tests.families import tiny_config, tiny_pair
from transformers_mcl.data import check_tokenizer, load_tokenizer, train_tokenizer
from transformers_mcl.data.tokenizer import fit_tokenizer
from transformers_mcl.errors import UserError

TEXTS = [
    "The quick brown Fox jumps over the lazy Dog; the dog sleeps.",
    "A quicker fox, caf\u00e9 and na\u00efve, jumped over lazier dogs \u2014 twice!",
    "Sleeping dogs lie, lying foxes leap: leaping, leapt, leaps.",
] * 3


@pytest.mark.parametrize("lowercase", [False, True])
def test_trained_saved_and_reloaded(tmp_path: Path, lowercase: bool) -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=120, lowercase=lowercase)
    assert isinstance(tokenizer, BertTokenizer) and len(tokenizer) == 120
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.save_pretrained(tmp_path)
    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    assert type(reloaded) is type(tokenizer) and reloaded.get_vocab() == tokenizer.get_vocab()
    pair = ("The caf\u00e9, [MASK] Dogs", "over\tthe \u4e2d foxes")
    first, second = (one(*pair, return_offsets_mapping=True).data for one in (tokenizer, reloaded))
    assert first == second
    assert first["input_ids"][0] == tokenizer.cls_token_id == 2
    assert first["input_ids"].count(tokenizer.sep_token_id) == 2 and first["input_ids"][-1] == 3
    assert first["input_ids"].count(tokenizer.mask_token_id) == 1
    assert set(first["token_type_ids"]) == {0, 1}
    words = tokenizer(pair[0], return_offsets_mapping=True, add_special_tokens=False)
    cut = [pair[0][start:end] for start, end in words["offset_mapping"]]
    assert "".join(cut) == pair[0].replace(" ", "")
    assert ("caf\u00e9" in "".join(words.tokens()).replace("##", "")) == (not lowercase)
    assert (tokenizer.tokenize("Fox") == tokenizer.tokenize("fox")) == lowercase
    assert (tokenizer.tokenize("caf\u00e9") == tokenizer.tokenize("cafe")) == lowercase


def test_training_is_deterministic() -> None:
    # Ties are many in a short text; plain training breaks them differently every time.
    vocabs = [train_tokenizer(TEXTS, vocab_size=90).get_vocab() for _ in range(5)]
    assert all(vocab == vocabs[0] for vocab in vocabs)
    assert train_tokenizer(iter(TEXTS), vocab_size=90).get_vocab() == vocabs[0]


def test_many_characters_leave_the_rarest_out() -> None:
    # 900 characters once and 900 twice
    texts = [chr(0xAC00 + number) + chr(0xC000 + number) * 2 for number in range(900)]
    tokenizer = train_tokenizer(texts, vocab_size=3000, min_frequency=10**6)
    first = {token for token in tokenizer.get_vocab() if len(token) == 1}
    assert len(first) == 1000
    assert {chr(0xC000 + number) for number in range(900)} < first
    assert train_tokenizer(texts, 3000, min_frequency=10**6).get_vocab() == tokenizer.get_vocab()


def test_least_vocabulary() -> None:
    with pytest.raises(UserError, match=r"vocab_size is 10: .* at least 11$"):
        train_tokenizer(["abc a,"], vocab_size=10)  # 5 special tokens; a b c , and ##b ##c
    assert len(train_tokenizer(["abc a,"], vocab_size=11)) == 11
    for texts in ([], ["", " \n"]):
        with pytest.raises(UserError, match="no text"):
            train_tokenizer(texts, vocab_size=100)


def test_too_little_text_gives_a_smaller_vocabulary(caplog: pytest.LogCaptureFixture) -> None:
    assert len(train_tokenizer(["ab ab"], vocab_size=100)) == 9
    assert "vocab_size is 100" in caplog.text and "9" in caplog.text


def test_load_tokenizer_names_what_is_wrong(tmp_path: Path, letters: BertTokenizer) -> None:
    letters.save_pretrained(tmp_path / "mine")
    assert load_tokenizer(str(tmp_path / "mine")).get_vocab() == letters.get_vocab()
    (tmp_path / "other").mkdir()
    (tmp_path / "mine" / "tokenizer.json").write_text("{")
    for name, words in {
        "mime": "is no directory here, .*did you mean '.*mine'",
        "other": "is a directory without a tokenizer",
        "mine": "is a directory without a tokenizer that can be read",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            load_tokenizer(str(tmp_path / name))
        assert repr(str(tmp_path / name)) in str(caught.value) and "\n" not in str(caught.value)


def test_check_tokenizer(letters: BertTokenizer) -> None:
    check_tokenizer(letters)
    check_tokenizer(letters, vocab_size=len(letters))
    with pytest.raises(UserError, match=r"35 tokens.*vocab_size is only 34"):
        check_tokenizer(letters, vocab_size=34)
    without = PreTrainedTokenizerFast(tokenizer_object=letters.backend_tokenizer, cls_token="[CLS]", pad_token="[PAD]")
    with pytest.raises(UserError, match="has no sep_token and no mask_token;"):
        check_tokenizer(without)


def test_a_tokenizer_knows_the_length_and_the_inputs_of_its_model(letters: BertTokenizer, tmp_path: Path) -> None:
    roberta = AutoModel.from_config(tiny_config("roberta", length=32))
    fit_tokenizer(letters, roberta)
    letters.save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert opened.model_max_length == 32  # of 33 positions or more
    rows = opened("a b c " * 100, truncation=True, return_tensors="pt")
    assert set(rows) == {"input_ids", "attention_mask"}
    assert roberta(**rows)[0].shape[1] == 32
    # What it was made for is kept where it is less, but for what the model is trained on.
    for asked, trained, known in ((16, 0, 16), (16, 24, 24), (10**30, 24, 32)):
        opened.model_max_length = asked
        fit_tokenizer(opened, roberta, trained_length=trained)
        assert opened.model_max_length == known


def test_the_tokenizer_of_a_pair_gives_what_both_networks_take(letters: BertTokenizer) -> None:
    fit_tokenizer(letters, pair := tiny_pair("modernbert"))
    assert letters.model_input_names == ["input_ids", "attention_mask"]
    assert letters.model_max_length == pair.config.max_position_embeddings
