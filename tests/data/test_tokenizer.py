from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from transformers_mcl.data import DataArguments, check_tokenizer, load_tokenizer, tokenize_and_pack, train_tokenizer
from transformers_mcl.data.streaming import TextStream
from transformers_mcl.data.tokenizer import check_words, tokens_a_word
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


def by_model(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of 70 pieces or more; `" alone"` after its kind: without what splits text into words."""
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    name, alone = kind.split()[0], kind.endswith(" alone")
    options: dict[str, Any] = {"special_tokens": list(special.values()), "vocab_size": 70, "show_progress": False}
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    kinds: dict[str, tuple[Any, Any, Any]] = {
        "wordpiece": (
            models.WordPiece(unk_token="[UNK]"),
            trainers.WordPieceTrainer,
            pre_tokenizers.BertPreTokenizer(),
        ),
        "bpe": (models.BPE(unk_token="[UNK]"), trainers.BpeTrainer, pre_tokenizers.BertPreTokenizer()),
        "byte_bpe": (models.BPE(), trainers.BpeTrainer, pre_tokenizers.ByteLevel(False, use_regex=not alone)),
        "unigram": (models.Unigram(), trainers.UnigramTrainer, pre_tokenizers.Metaspace()),
    }
    own: dict[str, dict[str, Any]] = {
        "byte_bpe": {"vocab_size": 300, "initial_alphabet": alphabet},
        "unigram": {"unk_token": "[UNK]"},
    }
    model, trainer, splits = kinds[name]
    tokenizer = Tokenizer(model)
    if not alone or name == "byte_bpe":
        tokenizer.pre_tokenizer = splits
    tokenizer.train_from_iterator(TEXTS, trainer(**options | own.get(name, {})))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "bpe", "unigram"])
def test_words_are_those_of_every_kind_of_tokenizer(kind: str) -> None:
    tokenizer = by_model(kind)
    check_words(tokenizer)
    text = DatasetDict(train=Dataset.from_dict({"text": ["foxes leap, dogs"]}))
    args = DataArguments(whole_word_mask=True, line_by_line=True, max_seq_length=64)
    row = tokenize_and_pack(text, tokenizer, args)[0]["train"][0]
    pieces = tokenizer.convert_ids_to_tokens(row["input_ids"])
    words: list[str] = []
    for piece, start in list(zip(pieces, row["word_starts"], strict=True))[1:-1]:
        words += [""] if start else []
        words[-1] += piece.lstrip("#\u2581\u0120")
    assert words == (["foxes", "leap,", "dogs"] if kind == "unigram" else ["foxes", "leap", ",", "dogs"])
    assert tokens_a_word(["foxes leap, dogs"], tokenizer) == (len(pieces) - 2) / len(words) > 1
    assert tokens_a_word([""], tokenizer) == 0


@pytest.mark.parametrize("kind", ["wordpiece alone", "byte_bpe alone", "bpe alone", "unigram alone"])
def test_a_tokenizer_that_knows_no_words_is_refused(kind: str) -> None:
    tokenizer, text = by_model(kind), DatasetDict(train=Dataset.from_dict({"text": TEXTS}))
    with pytest.raises(UserError, match="^whole_word_mask: the tokenizer .* takes 'a b' for one word"):
        tokenize_and_pack(text, tokenizer, DataArguments(whole_word_mask=True))
    with pytest.raises(UserError, match="whole_word_mask"):
        TextStream([], tokenizer, whole_word_mask=True)
    TextStream([], tokenizer)
