"""Tokenizers of others: opened, checked, completed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from datasets import Dataset, DatasetDict
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, pre_tokenizers, trainers
from tokenizers.models import WordLevel
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertTokenizer,
    ByT5Tokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

from tests.families import tiny_config, tiny_pair
from transformers_mcl.data import (
    DataArguments,
    check_tokenizer,
    load_tokenizer,
    tokenize_and_pack,
    train_tokenizer,
    vocabulary_size,
)
from transformers_mcl.data.streaming import TextStream
from transformers_mcl.data.tokenizer import add_special_tokens, check_words, fit_tokenizer, tokens_a_word
from transformers_mcl.errors import UserError

TEXT = "the cat sat on the mat and the dog saw the cat\n" * 30
TEXTS = [
    "The quick brown Fox jumps over the lazy Dog; the dog sleeps.",
    "A quicker fox, caf\u00e9 and na\u00efve, jumped over lazier dogs \u2014 twice!",
    "Sleeping dogs lie, lying foxes leap: leaping, leapt, leaps.",
] * 3
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "on"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Vocabularies with nothing beside them, each in a folder of its own."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    for name in ("bert", "raw", "roberta", "gpt", "albert", "xlmr", "deberta"):
        (tmp_path / name).mkdir()
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    train_tokenizer([TEXT], 60).backend_tokenizer.save(str(tmp_path / "raw" / "tokenizer.json"))
    for name, special in {"roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "gpt": ["<|endoftext|>"]}.items():
        byte_level = ByteLevelBPETokenizer()
        byte_level.train([str(text)], vocab_size=280, special_tokens=special)
        byte_level.save_model(str(tmp_path / name))
    for name, file in {"albert": "spiece", "xlmr": "sentencepiece.bpe", "deberta": "spm"}.items():
        control: dict[str, Any] = (
            {} if name == "xlmr" else {"control_symbols": "[CLS],[SEP],[MASK]", "bos_id": -1, "eos_id": -1}
        )
        sentencepiece.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=str(tmp_path / name / file),
            vocab_size=40,
            hard_vocab_limit=False,
            minloglevel=2,
            **control,
        )
    return tmp_path


@pytest.mark.parametrize("name", ["bert", "raw", "roberta", "albert", "xlmr", "deberta"])
def test_a_vocabulary_alone_is_opened(folder: Path, name: str) -> None:
    tokenizer = load_tokenizer(str(folder / name))
    check_tokenizer(tokenizer)
    row = tokenizer("the cat").input_ids
    assert row[0] == tokenizer.cls_token_id and row[-1] == tokenizer.sep_token_id
    assert tokenizer.unk_token_id not in row
    tokenizer.save_pretrained(folder / "whole")
    opened = AutoTokenizer.from_pretrained(folder / "whole")
    assert opened("the cat").input_ids == row and opened.mask_token_id == tokenizer.mask_token_id


def test_a_file_is_opened_as_its_folder_is(folder: Path) -> None:
    for file in ("raw/tokenizer.json", "bert/vocab.txt", "albert/spiece.model"):
        check_tokenizer(tokenizer := load_tokenizer(str(folder / file)))
        assert tokenizer.get_vocab() == load_tokenizer(str((folder / file).parent)).get_vocab()
    with pytest.raises(UserError, match=r"text.txt' cannot be read as one of tokenizer.json, vocab.txt"):
        load_tokenizer(str(folder / "text.txt"))


def test_the_case_of_a_vocabulary_is_that_of_its_entries(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_tokenizer(str(folder / "bert")).tokenize("The cats") == ["the", "cat", "##s"]
    assert "it is opened as BertTokenizer, do_lower_case=True" in caplog.text
    (folder / "bert" / "vocab.txt").write_text("\n".join([*VOCABULARY, "The"]), encoding="utf-8")
    assert load_tokenizer(str(folder / "bert")).tokenize("The cats") == ["The", "cat", "##s"]


def test_load_tokenizer_names_what_is_wrong(tmp_path: Path, letters: BertTokenizer) -> None:
    letters.save_pretrained(tmp_path / "mine")
    assert load_tokenizer(str(tmp_path / "mine")).get_vocab() == letters.get_vocab()
    (tmp_path / "other").mkdir()
    (tmp_path / "mine" / "tokenizer.json").write_text("{")
    for name, words in {
        "mime": "is no directory here, .*did you mean '.*mine'",
        "other": "is a directory without a tokenizer that can be read; the files known are tokenizer.json, vocab.txt",
        "mine": r"mine/tokenizer.json is damaged: it is no JSON",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            load_tokenizer(str(tmp_path / name))
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def with_holes() -> PreTrainedTokenizerFast:
    """400 entries, of ids up to 449."""
    vocab = {token: number for number, token in enumerate(VOCABULARY)}
    vocab |= {f"word{number}": number + 50 for number in range(10, 400)}
    kinds = {f"{name.strip('[]').lower()}_token": name for name in VOCABULARY[:5]}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(vocab, unk_token="[UNK]")), **kinds)


def test_the_size_of_a_vocabulary_is_its_largest_id_and_one(letters: BertTokenizer) -> None:
    assert vocabulary_size(letters) == len(letters) == 35
    assert (len(with_holes()), vocabulary_size(with_holes())) == (400, 450)
    letters.add_tokens(["aa"])
    assert vocabulary_size(letters) == 36


def test_check_tokenizer(letters: BertTokenizer) -> None:
    check_tokenizer(letters)
    check_tokenizer(letters, vocab_size=len(letters))
    with pytest.raises(UserError, match=r"35 tokens.*vocab_size is only 34"):
        check_tokenizer(letters, vocab_size=34)
    with pytest.raises(UserError, match=r"450 tokens.*vocab_size is only 400"):
        check_tokenizer(with_holes(), vocab_size=400)
    with pytest.raises(UserError, match=r"ByT5Tokenizer, which has no fast tokenizer: .*`transformers-mcl tokenizer`"):
        check_tokenizer(ByT5Tokenizer())


KINDS = ("PAD", "CLS", "SEP", "MASK")
SHARED = [
    ({"pad_token": "[SEP]"}, r"one token, '\[SEP\]', as pad_token and sep_token"),
    ({"pad_token": "[UNK]"}, r"one token, '\[UNK\]', as pad_token and unk_token"),
    ({"mask_token": "[UNK]"}, r"one token, '\[UNK\]', as mask_token and unk_token"),
    ({"mask_token": "[PAD]"}, r"one token, '\[PAD\]', as pad_token and mask_token"),
    ({"sep_token": None, "mask_token": None}, "no sep_token and no mask_token"),
]


@pytest.mark.parametrize(("kinds", "said"), SHARED)
def test_missing_and_shared_special_tokens(letters: BertTokenizer, kinds: dict[str, str], said: str) -> None:
    given = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("pad", "unk", "cls", "sep", "mask")} | kinds
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters.backend_tokenizer, **given)
    command = (
        "transformers-mcl tokenizer --tokenizer_name TokenizersBackend --add_special_tokens true --output_dir NEW"
    )
    with pytest.raises(UserError, match=f"has {said}; .*`{command}` adds what is missing"):
        check_tokenizer(tokenizer)
    complete = add_special_tokens(tokenizer)
    check_tokenizer(complete)
    assert complete.get_vocab() == letters.get_vocab()  # all five were there
    assert complete("ab").input_ids == letters("ab").input_ids


def test_one_token_for_beginning_and_end_is_no_harm(letters: BertTokenizer) -> None:
    kinds = {"pad_token": "[PAD]", "mask_token": "[MASK]", "cls_token": "[SEP]", "sep_token": "[SEP]"}
    check_tokenizer(PreTrainedTokenizerFast(tokenizer_object=letters.backend_tokenizer, **kinds))


def test_special_tokens_are_added_after_the_last_id(folder: Path, tmp_path: Path) -> None:
    gpt = load_tokenizer(str(folder / "gpt"))
    with pytest.raises(UserError, match="has no pad_token and no cls_token and no sep_token and no mask_token"):
        check_tokenizer(gpt)
    complete = add_special_tokens(gpt)
    row = complete("the cat", return_offsets_mapping=True)
    assert row.input_ids == [complete.cls_token_id, *gpt("the cat").input_ids, complete.sep_token_id]
    size = vocabulary_size(gpt)
    assert {complete.get_vocab()[f"[{kind}]"] for kind in KINDS} == {size, size + 1, size + 2, size + 3}
    assert row.offset_mapping[1:-1] == [(0, 3), (4, 7)]  # without the space before the word
    complete.save_pretrained(tmp_path / "complete")
    opened = load_tokenizer(str(tmp_path / "complete"))
    check_tokenizer(opened)
    assert opened("the cat", "sat").input_ids == complete("the cat", "sat").input_ids


def test_what_is_complete_stays_as_it_is(folder: Path) -> None:
    roberta: PreTrainedTokenizerBase = RobertaTokenizer.from_pretrained(folder / "roberta")
    complete = add_special_tokens(roberta)
    assert complete.get_vocab() == roberta.get_vocab()
    assert complete("the cat", "sat").input_ids == roberta("the cat", "sat").input_ids


def test_a_vocabulary_with_holes_is_completed(tmp_path: Path) -> None:
    tokenizer = with_holes()
    tokenizer.backend_tokenizer.save(str(tmp_path / "raw.json"))
    state = json.loads((tmp_path / "raw.json").read_text(encoding="utf-8"))
    state["added_tokens"] = []
    for name in ("[PAD]", "[MASK]"):
        del state["model"]["vocab"][name]
    (tmp_path / "raw.json").write_text(json.dumps(state), encoding="utf-8")
    complete = add_special_tokens(load_tokenizer(str(tmp_path / "raw.json")))
    check_tokenizer(complete)
    numbers = complete.get_vocab()
    assert len(set(numbers.values())) == len(numbers) == 452 == vocabulary_size(complete)
    assert all(numbers[token] == number for token, number in state["model"]["vocab"].items())
    assert {complete.pad_token_id, complete.mask_token_id} == {450, 451}


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
