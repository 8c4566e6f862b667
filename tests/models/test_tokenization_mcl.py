"""Ids as fairseq gives them, from what the code that wrote MCL-base's files said, and from SentencePiece itself."""

from __future__ import annotations

import json
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from datasets import Dataset, DatasetDict
from sentencepiece import sentencepiece_model_pb2
from transformers import AutoTokenizer
from transformers.tokenization_utils_tokenizers import TokenizersBackend

import transformers_mcl
from transformers_mcl import MclConfig, MclTokenizer, UserError
from transformers_mcl.data import tokenize_and_pack

FIXTURE = Path(__file__).parents[1] / "fixtures" / "fairseq" / "mcl_base_like"
DEMO = Path(transformers_mcl.__file__).parent / "data" / "demo" / "train.txt"
protobuf: Any = sentencepiece_model_pb2
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
# What normalisation, spaces and rare characters can do, besides what is drawn at random.
TEXTS = ["", " ", "a", " a  b ", "a\nb\tc\r\n", "a\x00b\x7fc\x85d", "a\u00a0b\u3000c\u200bd", "▁a ▁ b"]
TEXTS += ["ﬁne ½ Ａ①", "é e\u0301", "don't --- stop...", "x" * 100, "the\ufeff end\u2028", "日本語テキスト"]
TEXTS += ["한국어 \u1112\u1161\u11ab", "😀👨\u200d👩\u200d👧 ok", "नमस्ते مرحبا"]


@pytest.fixture(scope="module")
def tokenizer() -> MclTokenizer:
    return MclTokenizer.from_fairseq(FIXTURE / "sentencepiece.bpe.model", FIXTURE / "dict.txt", model_max_length=64)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads((FIXTURE / "tokenization.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model and a dictionary in another order."""
    folder = tmp_path_factory.mktemp("trained")
    settings: dict[str, Any] = {"vocab_size": 600, "num_threads": 1, "minloglevel": 2, "input_sentence_size": 2000}
    # Drawn lines would be others each time, and some models cut `ooo` in two ways that tie but for rounding.
    settings["shuffle_input_sentence"] = False
    sentencepiece.SentencePieceTrainer.train(input=str(DEMO), model_prefix=str(folder / "spm"), **settings)
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "spm.model"))
    words = [pieces.id_to_piece(i) for i in range(3, len(pieces))]
    random.Random(0).shuffle(words)
    (folder / "dict.txt").write_text("".join(f"{word} 1\n" for word in words), encoding="utf-8")
    return folder


def _from(folder: Path, **changes: Any) -> MclTokenizer:
    return MclTokenizer.from_fairseq(folder / "spm.model", folder / "dict.txt", **changes)


def _random_texts(count: int) -> Iterator[str]:
    draw = random.Random(0)
    bounds = [(0x20, 0x7F), (0xA0, 0x250), (0x2000, 0x2100), (0x3040, 0x3100), (0x4E00, 0x4F00)]
    for _ in range(count):
        block = range(*draw.choice(bounds))
        yield "".join(draw.choice([chr(draw.choice(block)), draw.choice("etaoin "), " "]) for _ in range(20))


def test_ids_are_those_of_the_original_code(tokenizer: MclTokenizer, golden: dict[str, Any]) -> None:
    assert len(golden["sentences"]) == 7
    for row in golden["sentences"]:  # one reads `<mask> </s>`, which is text to fairseq
        assert tokenizer(row["text"], split_special_tokens=True)["input_ids"] == row["ids"]
        if "<mask>" not in row["text"]:
            assert tokenizer.tokenize(row["text"]) == row["pieces"]
            assert tokenizer(row["text"])["input_ids"] == row["ids"]
    assert len(golden["pairs"]) == 2
    for row in golden["pairs"]:
        pair = tokenizer(row["text"], row["text_pair"])
        assert pair["input_ids"] == row["ids"]
        assert set(pair) == {"input_ids", "attention_mask"}
    assert [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))] == golden["dictionary"]["symbols"]


def test_a_mask_in_a_text(tokenizer: MclTokenizer) -> None:
    (mask,) = tokenizer("<mask>", add_special_tokens=False)["input_ids"]
    assert mask == tokenizer.mask_token_id == 198
    plain = tokenizer.tokenize("the end.")
    assert tokenizer.tokenize("the end<mask>.") == [*plain[:-1], "<mask>", plain[-1]]
    assert tokenizer.tokenize("the <mask> end.") == [plain[0], "<mask>", *plain[1:]]
    assert tokenizer.tokenize("<mask_99>madeupword0004") == ["<mask_99>", "madeupword0004"]


def test_any_text_has_the_ids_of_sentencepiece_and_the_dictionary(trained: Path) -> None:
    pieces = sentencepiece.SentencePieceProcessor(str(trained / "spm.model"))
    lines = (trained / "dict.txt").read_text(encoding="utf-8").splitlines()
    numbers = {word: i for i, word in enumerate([*SPECIALS, *(line.split(" ")[0] for line in lines)])}
    tokenizer: Any = _from(trained)
    texts = [*TEXTS, *_random_texts(2000), *DEMO.read_text().splitlines()[:500]]
    expected = [[numbers.get(piece, 3) for piece in row] for row in pieces.encode_as_pieces(texts)]
    assert tokenizer(texts, add_special_tokens=False)["input_ids"] == expected
    assert sum(3 in row for row in expected) > 100
    markup = [
        "<s>",
        "a<s>b</s>",
        "<pad>>, <unk>s <<s>>",
        "<mask> <mask_3>",
        "madeupword0000 </s",
        "s> <s",
        "<unk><unk>",
    ]
    told = [[numbers.get(piece, 3) for piece in row] for row in pieces.encode_as_pieces(markup)]
    plain = {"add_special_tokens": False, "split_special_tokens": True}
    assert tokenizer(markup, **plain)["input_ids"] == told
    assert tokenizer(texts, **plain)["input_ids"] == expected
    words = ["Two", "words", ",", "apart"]
    assert tokenizer.tokenize(words, is_split_into_words=True) == [
        p for w in words for p in pieces.encode_as_pieces(w)
    ]
    assert tokenizer.decode(tokenizer(" The chef cooked, ").input_ids, skip_special_tokens=True) == "The chef cooked,"


@pytest.mark.skipif("MCL_TOKENIZER_64K" not in os.environ, reason="MCL_TOKENIZER_64K names no folder")
def test_the_64k_vocabulary() -> None:
    """The folder holds `sentencepiece.bpe.model`, `dict.txt` and `golden.json` of unilm's English 64k vocabulary."""
    folder = Path(os.environ["MCL_TOKENIZER_64K"])
    golden = json.loads((folder / "golden.json").read_text())
    tokenizer = MclTokenizer.from_fairseq(folder / "sentencepiece.bpe.model", folder / "dict.txt")
    assert len(tokenizer) == 64104
    assert {name: tokenizer.convert_tokens_to_ids(name) for name in golden["specials"]} == golden["specials"]
    assert len(golden["rows"]) == 13
    for row in golden["rows"]:
        assert tokenizer.tokenize(row["text"]) == row["pieces"]
        assert tokenizer(row["text"])["input_ids"] == row["ids_fairseq_sequence"]


def test_batches_offsets_and_masks(tokenizer: MclTokenizer) -> None:
    text = "The chef cooked the meal."
    batch = tokenizer([text, "Yes."], ["No.", "No."], padding=True, return_special_tokens_mask=True)
    first, second = batch["input_ids"]
    assert len(first) == len(second)
    assert second[-1] == tokenizer.pad_token_id == 1
    special = [i for i, is_special in zip(second, batch["special_tokens_mask"][1], strict=True) if is_special]
    assert special == [0, 2, 2, 2, *[1] * second.count(1)]
    encoded = tokenizer(text, return_offsets_mapping=True)
    spans = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert spans[1:-1] == ["".join(span.split()) for span in spans[1:-1]]
    assert "".join(spans) == text.replace(" ", "")
    assert spans[0] == spans[-1] == ""
    assert encoded.word_ids()[1] == 0
    cut = tokenizer(text, "Yes.", truncation="only_first", max_length=12)["input_ids"]
    assert len(cut) == 12
    assert cut[:4] == encoded["input_ids"][:4]
    assert cut[-3:] == tokenizer("Yes.")["input_ids"][-3:]
    windows = tokenizer(text, truncation=True, max_length=8, stride=2, return_overflowing_tokens=True)["input_ids"]
    assert len(windows) > 1
    assert all(row[0] == 0 and row[-1] == 2 for row in windows)


def test_saved_and_opened(tokenizer: MclTokenizer, golden: dict[str, Any], tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    tokenizer.save_pretrained(tmp_path / "beside a model")
    MclConfig.tiny(vocab_size=len(tokenizer)).save_pretrained(tmp_path / "beside a model")
    opened: list[Any] = [MclTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)]
    opened += [AutoTokenizer.from_pretrained(tmp_path / "beside a model"), pickle.loads(pickle.dumps(tokenizer))]
    assert {type(other) for other in opened} == {MclTokenizer}
    opened.append(TokenizersBackend.from_pretrained(tmp_path))  # as where this package is not known
    for other in opened:
        assert [other(row["text"])["input_ids"] for row in golden["sentences"]] == [
            tokenizer(row["text"])["input_ids"] for row in golden["sentences"]
        ]
        assert (len(other), other.mask_token_id, other.model_max_length) == (304, 198, 64)
        assert other.special_tokens_map == tokenizer.special_tokens_map


def test_a_model_without_a_tokenizer_has_none(tmp_path: Path) -> None:
    MclConfig.tiny().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"there is no tokenizer\.json"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_the_dictionary_decides(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (trained / "dict.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "spm.model").symlink_to(trained / "spm.model")
    (tmp_path / "dict.txt").write_text("\n".join(["<mask> 1", "<lang:en> 1", *lines[1:]]), encoding="utf-8")
    tokenizer = _from(tmp_path, extra_masks=2, multiple=10)
    assert f"lacks 1 pieces of {tmp_path / 'spm.model'}, such as {lines[0].split(' ')[0]!r}" in caplog.text
    assert tokenizer.mask_token_id == 4
    assert tokenizer.convert_tokens_to_ids("<lang:en>") == 5
    assert tokenizer.convert_tokens_to_ids("<mask_0>") == 5 + len(lines)
    assert len(tokenizer) == 610
    assert tokenizer.convert_ids_to_tokens(609) == f"madeupword{609 - 7 - len(lines):04d}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("the 1\nend\n", r"dict.txt', line 2: 'end' is not a piece and its count"),
        ("the 1\nend 1\nthe 3", r"dict.txt', line 3: 'the' occurs twice"),
        ("<pad> 1", r"dict.txt', line 1: '<pad>' occurs twice"),
        (b"\xff 1", r"dict.txt' cannot be read: .*0xff"),
        (None, r"dict.txt' cannot be read: .*No such file"),
    ],
)
def test_a_dictionary_that_is_none(trained: Path, tmp_path: Path, text: str | bytes | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "dict.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=problem):
        MclTokenizer.from_fairseq(trained / "spm.model", tmp_path / "dict.txt")


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("trainer_spec", {"model_type": 2}, "is of a type other than Unigram"),
        ("trainer_spec", {"byte_fallback": True}, "was trained with byte_fallback"),
        ("trainer_spec", {"treat_whitespace_as_suffix": True}, "was trained with treat_whitespace_as_suffix"),
        ("normalizer_spec", {"escape_whitespaces": False}, "was trained with escape_whitespaces=false"),
    ],
)
def test_models_without_a_counterpart(
    trained: Path, tmp_path: Path, part: str, change: dict[str, Any], problem: str
) -> None:
    model = protobuf.ModelProto.FromString((trained / "spm.model").read_bytes())
    for name, value in change.items():
        setattr(getattr(model, part), name, value)
    (tmp_path / "spm.model").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=problem):
        MclTokenizer.from_fairseq(tmp_path / "spm.model", trained / "dict.txt")


def test_pieces_that_look_like_a_special_token(trained: Path, tmp_path: Path) -> None:
    model = protobuf.ModelProto.FromString((trained / "spm.model").read_bytes())
    added = ["<", ">", "<s", "/s"]
    for piece in added:
        model.pieces.add(piece=piece, score=-2.0, type=1)
    (tmp_path / "spm.model").write_bytes(model.SerializeToString())
    words = (trained / "dict.txt").read_text(encoding="utf-8")
    (tmp_path / "dict.txt").write_text(words + "".join(f"{piece} 1\n" for piece in added), encoding="utf-8")
    pieces, tokenizer = sentencepiece.SentencePieceProcessor(str(tmp_path / "spm.model")), _from(tmp_path)
    for text in ("<s>", "a</s>", "<<s>>"):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == pieces.encode_as_pieces(text)


def test_a_file_that_is_no_model(trained: Path) -> None:
    with pytest.raises(UserError, match="is no SentencePiece model|has no pieces"):
        MclTokenizer.from_fairseq(trained / "dict.txt", trained / "dict.txt")
    with pytest.raises(UserError, match="no-such.model' cannot be read: No such file"):
        MclTokenizer.from_fairseq("no-such.model", trained / "dict.txt")


def test_spaces_that_the_model_keeps(trained: Path, tmp_path: Path) -> None:
    model = protobuf.ModelProto.FromString((trained / "spm.model").read_bytes())
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.add_dummy_prefix = False
    (tmp_path / "spm.model").write_bytes(model.SerializeToString())
    (tmp_path / "dict.txt").symlink_to(trained / "dict.txt")
    pieces = sentencepiece.SentencePieceProcessor(str(tmp_path / "spm.model"))
    for text in ("the  end ", " the", "the end"):
        assert _from(tmp_path).tokenize(text) == pieces.encode_as_pieces(text), text


def test_rows_for_pre_training_are_the_original_loader_s(tokenizer: MclTokenizer, golden: dict[str, Any]) -> None:
    (row, *_) = golden["documents"][1]["docs"]
    lines = golden["documents"][1]["text"].splitlines()[:2]
    corpus = DatasetDict({"train": Dataset.from_dict({"text": lines})})
    packed, statistics = tokenize_and_pack(corpus, tokenizer, max_seq_length=len(row))
    assert packed["train"]["input_ids"][:] == [row]
    assert statistics["train"].dropped_tokens == 1  # the </s> that the row has anyway


# --- offsets ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tensors", [None, "np"])
def test_offsets_begin_at_words(tensors: str | None, tokenizer: MclTokenizer) -> None:
    text, other = "  the  quick\tfox<mask>. naïve", "a dog\u3000ate"
    plain = tokenizer(text, other, return_tensors=tensors)
    given = tokenizer(text, other, return_tensors=tensors, return_offsets_mapping=True)
    offsets = given.pop("offset_mapping")
    assert {name: list(map(str, value)) for name, value in given.items()} == {
        name: list(map(str, value)) for name, value in plain.items()
    }
    (encoding,) = given.encodings
    places = [tuple(map(int, place)) for place in (offsets if tensors is None else offsets[0])]
    pieces = [
        (text, other)[which][begin:end]
        for (begin, end), which in zip(places, encoding.sequence_ids, strict=True)
        if which is not None
    ]
    assert not any(piece != piece.lstrip() for piece in pieces)
    assert "".join(pieces) == "".join(f"{text} {other}".split())
    # The ends are as they were, and what is no piece of the text has no place.
    assert [end for _, end in places] == [end for _, end in encoding.offsets]
    assert places[0] == (0, 0)


def test_offsets_of_windows_and_batches(tokenizer: MclTokenizer) -> None:
    texts = ["the quick brown fox jumps over the lazy dog " * 3, " a fox"]
    windows: dict[str, Any] = {"max_length": 16, "stride": 4, "truncation": True, "return_overflowing_tokens": True}
    for more in ({}, {"padding": True, "return_tensors": "pt"}):
        found = tokenizer(texts, return_offsets_mapping=True, **windows, **more)
        assert len(found["input_ids"]) > 2
        for sample, places in zip(found["overflow_to_sample_mapping"], found["offset_mapping"], strict=True):
            for begin, end in places:
                piece = texts[int(sample)][int(begin) : int(end)]
                assert piece == piece.strip()
    words = tokenizer([["the", "fox"]], is_split_into_words=True, return_offsets_mapping=True)
    assert words["offset_mapping"][0][1][0] == 0
