"""What a tokenizer does not know is counted in characters of the text."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram
from transformers import BertTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from transformers_mcl.data import train_tokenizer
from transformers_mcl.data.coverage import check_coverage, measure_coverage, sample_texts
from transformers_mcl.errors import UserError

BYTES = [f"<0x{number:02X}>" for number in range(256)]
FALLBACK = Unigram([("[UNK]", 0.0), ("a", -1.0), *((byte, -5.0) for byte in BYTES)], unk_id=0, byte_fallback=True)


def wrap(model: Unigram | BPE) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="[UNK]")


def test_a_word_that_is_unknown_counts_with_all_its_characters(letters: BertTokenizer) -> None:
    found = measure_coverage(["a aa\tb", "[UNK] a\u200b\x00"], letters)
    # "aa" and "UNK"; what a text says is text. Nobody sees the last two.
    assert (found.characters, found.unknown, found.words, found.tokens) == (10, 5, 5, 7)
    assert found.unknown_fraction == 0.5
    assert found.examples == ("a", "U", "N")
    long = measure_coverage(["a" * 300 + " a"], letters)
    assert (long.unknown, long.characters, long.tokens) == (300, 301, 2)
    assert measure_coverage([], letters).unknown_fraction == measure_coverage([" "], letters).unknown_fraction == 0


@pytest.mark.parametrize(
    ("tokenizer", "unknown"),
    [
        (train_tokenizer(["aa"], 300, "byte_bpe"), 0),
        (wrap(FALLBACK), 0),
        (wrap(Unigram([("[UNK]", 0.0), ("a", -1.0)], unk_id=0)), 4),
        (wrap(BPE({"[UNK]": 0, "a": 1}, [], unk_token="[UNK]", fuse_unk=True)), 4),
        (wrap(BPE({"a": 0}, [])), 4),  # which leaves them out, without a token
    ],
)
def test_of_every_model(tokenizer: PreTrainedTokenizerBase, unknown: int) -> None:
    found = measure_coverage(["aé€€😀a"], tokenizer)
    assert (found.unknown, found.characters) == (unknown, 6)


def test_what_a_normalizer_takes_away_is_lost_and_what_it_changes_is_not() -> None:
    uncased = BertTokenizer(vocab={"[UNK]": 0, "cafe": 1, "क": 2, "##क": 3})
    assert measure_coverage(["Café"], uncased).unknown == 0
    assert measure_coverage(["कि"], uncased).examples == ("ि",) or measure_coverage(["कु"], uncased).unknown == 1


def test_a_sample_is_spread_and_small() -> None:
    texts = [chr(1000 + number) * 500 for number in range(10_000)]
    sample = sample_texts(texts, 100, 5000)
    assert [ord(text[0]) - 1000 for text in sample] == [int(number * 9999 / 99) for number in range(100)]
    assert {len(text) for text in sample} == {50}
    assert sample_texts(["ab", "cd"]) == ["ab", "cd"]
    assert sample_texts([]) == []
    starts = ["".join(map(chr, range(1000, 3000)))] * 10
    assert len({text[0] for text in sample_texts(starts, 10, 1000)}) == 10  # not all beginnings


def test_warned_of_a_hundredth_and_refused_beyond_a_half(
    letters: BertTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    assert check_coverage("train", ["a " * 99 + "b"] * 3, letters).unknown == 0
    assert check_coverage("train", ["a " * 199 + "\u0e01"], letters).unknown == 1
    assert not caplog.records
    check_coverage("train", ["a " * 99 + "\u0e01"], letters)
    assert "1.0% of the characters of the train text are unknown to the tokenizer 'BertTokenizer'" in caplog.text
    assert "'\u0e01' (U+0E01)" in caplog.text
    check_coverage("train", ["a \x9b"], letters)
    with pytest.raises(UserError, match=r"60\.0% .* held-out text .* 'a' .* `transformers-mcl tokenizer`") as caught:
        check_coverage("held-out", ["\x9b[\u0378 aa b"], letters)
    assert "\n" not in str(caught.value) and "\u0378" not in str(caught.value)
    check_coverage("train", ["aa bb"[:2] + " b c"], letters)  # one half is still trained on
