"""Tokenizers from text: nothing is lost, in any language, in time that grows with the text."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from transformers import AutoTokenizer, BertTokenizer

from transformers_mcl.data import train_tokenizer
from transformers_mcl.data.coverage import measure_coverage
from transformers_mcl.data.tokenizer_training import ModelName
from transformers_mcl.errors import UserError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "languages"
MODELS: tuple[ModelName, ...] = get_args(ModelName)
TEXTS = [
    "The quick brown Fox jumps over the lazy Dog; the dog sleeps.",
    "A quicker fox, café and naïve, jumped over lazier dogs — twice!",
    "Sleeping dogs lie, lying foxes leap: leaping, leapt, leaps.",
] * 3
THAI = "".join(map(chr, range(0x0E01, 0x0E3B)))
HAN = "".join(map(chr, range(0x4E00, 0x5200)))


def language(name: str) -> list[str]:
    """Lines of a language; made up where there is no text that may stand here."""
    draw = random.Random(0)
    if name == "dna":
        return ["".join(draw.choices("ACGT", k=401)) for _ in range(40)]
    if name == "zh":  # few characters are frequent and many rare, as in real text
        weights = [1 / rank for rank in range(1, len(HAN) + 1)]
        return ["".join(draw.choices(HAN, weights, k=60)) + "。，"[number % 2] for number in range(200)]
    return (FIXTURES / f"{name}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("model", MODELS)
def test_saved_and_opened(tmp_path: Path, model: ModelName) -> None:
    tokenizer = train_tokenizer(TEXTS, 300, model)
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    kinds = [getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "unk", "cls", "sep", "mask")]
    assert kinds == [0, 1, 2, 3, 4]
    tokenizer.save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert type(opened) is type(tokenizer)
    pair = ("The café, [MASK] Dogs", "over\tthe foxes")
    first, second = (one(*pair, return_offsets_mapping=True).data for one in (tokenizer, opened))
    assert first == second
    assert first["input_ids"][0] == 2 and first["input_ids"][-1] == 3 and first["input_ids"].count(3) == 2
    assert first["input_ids"].count(4) == 1
    after = first["input_ids"].index(3) + 1
    assert first["token_type_ids"] == [0] * after + [1] * (len(first["input_ids"]) - after)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["th", "hi", "tr", "ja", "ar", "zh", "dna"])
def test_no_character_is_lost(name: str, model: ModelName) -> None:
    lines = language(name)
    held_out, texts = lines[::20], [line for number, line in enumerate(lines) if number % 20]
    tokenizer = train_tokenizer(texts, 21_128, model)
    assert measure_coverage(texts, tokenizer).unknown == 0
    lost = measure_coverage(held_out, tokenizer).unknown_fraction
    assert lost == 0 if model == "byte_bpe" else lost < 0.001
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        # Offsets: every piece is where it says, with no space at its ends, and decoding gives the text again.
        parts = [text[start:stop] for start, stop in offsets]
        assert all(part == part.strip() for part in parts if part.strip())
        again = str(tokenizer.decode(ids)).split()
        assert "".join(again) == "".join(text.split())
        if model != "wordpiece":
            assert again == text.split()


def test_chinese_fills_the_vocabulary_and_decodes_without_spaces() -> None:
    texts = language("zh")
    tokenizer = train_tokenizer(texts, 21_128)
    assert len(tokenizer) == 21_128
    assert tokenizer.decode(tokenizer(texts[0], add_special_tokens=False).input_ids) == texts[0]
    assert tokenizer.tokenize("一丁") == ["一", "丁"]
    assert tokenizer.unk_token_id not in tokenizer("的是不").input_ids  # common ones that the text lacks
    longer = train_tokenizer(texts, 2000, "unigram")
    assert any(len(token.strip("▁")) > 1 for token in longer.get_vocab() if token[-1] in HAN)


def test_the_room_that_is_left_is_for_what_occurs_once() -> None:
    assert "z" not in train_tokenizer(["abab z"], 9).get_vocab()  # 5, a ##a b ##b
    assert {"z", "##z"} <= train_tokenizer(["abab z"], 20).get_vocab().keys()
    assert "##z" not in train_tokenizer(["abab z"], 10).get_vocab()  # both or none
    for model in ("bpe", "unigram"):
        assert "z" in train_tokenizer(["abab z"], 20, model).get_vocab()


def test_the_same_in_every_process() -> None:
    # Ties are many in a short text; plain training breaks them differently every time.
    code = (
        "import sys; from pathlib import Path; from transformers_mcl.data import train_tokenizer\n"
        "lines = Path(sys.argv[1]).read_text(encoding='utf-8').splitlines()[:20]\n"
        "for model in sys.argv[2:]: print(train_tokenizer(lines, 420, model).backend_tokenizer.to_str())"
    )
    digests: set[str] = set()
    for seed in "12":
        command = [sys.executable, "-c", code, str(FIXTURES / "tr.txt"), *MODELS]
        written = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
        digests.update(hashlib.sha256(line).hexdigest() for line in written.stdout.splitlines())
    assert len(digests) == len(MODELS)


def test_a_generator_is_read_once() -> None:
    assert train_tokenizer(iter(TEXTS), 90).get_vocab() == train_tokenizer(TEXTS, 90).get_vocab()


def test_wordpiece_reads_as_berts_tokenizer_does() -> None:
    tokenizer = train_tokenizer(TEXTS, 200)
    bert = BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=False, strip_accents=False)
    for text in (*TEXTS, "don't  leap,over\ndogs", "foxes" * 20, "Sleeping,leaping"):
        assert tokenizer(text, text).input_ids == bert(text, text).input_ids
    assert bert.tokenize("foxes" * 21) == ["[UNK]"]
    assert "[UNK]" not in tokenizer.tokenize("foxes" * 21)
    # One character that is unknown takes the word with it in BERT's.
    assert bert.tokenize("fo\u0416es") == ["[UNK]"]
    assert tokenizer.tokenize("fo\u0416es").count("[UNK]") == 1 < len(tokenizer.tokenize("fo\u0416es"))


@pytest.mark.parametrize("model", MODELS)
def test_case_and_accents_are_two_choices(model: ModelName) -> None:
    text = "I İstanbul ÇAĞ й क्षत्रिय が 한국"
    texts = [text, text, text.lower(), "cag istanbul и"] * 2

    def read(**options: bool) -> str:
        tokenizer = train_tokenizer(texts, 400, model, **options)  # type: ignore[arg-type]
        return str(tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids))

    assert read() == text
    assert read(lowercase=True) == text.lower()
    assert read(strip_accents=True) == "I Istanbul CAG и क्षत्रिय が 한국"
    assert read(lowercase=True, strip_accents=True) == "i istanbul cag и क्षत्रिय が 한국"


def test_unicode_normalizers() -> None:
    for name, same in {"nfc": [("e\u0301", "é")], "nfkc": [("e\u0301", "é"), ("①", "1"), ("Ａ", "A")]}.items():
        tokenizer = train_tokenizer(["é e\u0301 ① 1 Ａ A ①Ａ"] * 2, 100, unicode_normalizer=name)  # type: ignore[arg-type]
        for one, other in same:
            assert tokenizer.tokenize(one) == tokenizer.tokenize(other)
        assert (tokenizer.tokenize("①") == tokenizer.tokenize("1")) == (name == "nfkc")
    apart = train_tokenizer(["é e\u0301"] * 2, 100, unicode_normalizer="none")
    assert apart.tokenize("e\u0301") != apart.tokenize("é")
    with pytest.raises(UserError, match=r"unicode_normalizer: there is no 'nfd'"):
        train_tokenizer(TEXTS, 100, unicode_normalizer="nfd")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"model: there is no 'wordpeice'.*did you mean 'wordpiece'"):
        train_tokenizer(TEXTS, 100, "wordpeice")  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "least"), [("wordpiece", 10), ("bpe", 9), ("unigram", 9), ("byte_bpe", 261)])
def test_least_vocabulary(model: ModelName, least: int) -> None:
    # wordpiece: a ##a b ##b and the comma, which is in no word; the others: the space, a, b and the comma
    with pytest.raises(UserError, match=rf"vocab_size is {least - 1}: .* take {least} entries"):
        train_tokenizer(["abba a,,"], least - 1, model)
    assert len(train_tokenizer(["abba a,,"], least, model)) == least
    for texts in ([], ["", " \n"], ["ab c"]):
        with pytest.raises(UserError, match="no text"):
            train_tokenizer(texts, 300, model)


def test_too_small_a_vocabulary_names_the_model_that_knows_every_character() -> None:
    with pytest.raises(UserError, match=r"vocab_size is 500: .* model byte_bpe, which knows every character with 261"):
        train_tokenizer(language("zh"), 500)
    assert measure_coverage(language("zh"), train_tokenizer(language("zh"), 300, "byte_bpe")).unknown == 0


def test_too_little_text_gives_a_smaller_vocabulary(caplog: pytest.LogCaptureFixture) -> None:
    pieces = len(train_tokenizer(["ab ab"], vocab_size=500))
    assert pieces == 5 + len(["a", "##a", "b", "##b", "ab"]) + 32 + 2 * (62 - 2)  # and the rest of ASCII
    assert "vocab_size is 500" in caplog.text and str(pieces) in caplog.text


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("alphabet", ["ACGT", THAI, HAN, "-"], ids=["dna", "thai", "han", "line"])
def test_a_model_never_gets_a_long_run_at_once(model: ModelName, alphabet: str) -> None:
    # Or its time would grow with the square of the run's length.
    text = "".join(random.Random(0).choices(alphabet, k=20_000))
    tokenizer = train_tokenizer([text], 3000, model, min_frequency=1000)
    parts = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert max(end - start for _, (start, end) in parts) == (
        1 if model == "wordpiece" and alphabet in (HAN, "-") else 100
    )
    assert measure_coverage([text], tokenizer).unknown == 0
