from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from transformers import BertTokenizer

from transformers_mcl.data import CorpusStatistics, DataArguments, load_corpus, packing, tokenize_and_pack
from transformers_mcl.errors import UserError

CLS, SEP = 2, 3


def corpus_of(*documents: str) -> DatasetDict:
    return DatasetDict(train=Dataset.from_dict({"text": list(documents)}))


def rows_of(split: Dataset) -> list[list[int]]:
    assert split.column_names == ["input_ids"]
    return [list(row) for row in split["input_ids"]]


def test_layout_of_packed_rows(letters: BertTokenizer) -> None:
    corpus = corpus_of("a b c", "d", "\u200b", "e f g h i", "j k")  # \u200b: no token is left of it
    packed, statistics = tokenize_and_pack(corpus, letters, max_seq_length=6)
    # [CLS] a b c [SEP] [SEP], [CLS] d [SEP] e f [SEP], [CLS] g h i [SEP] [SEP]; j k [SEP] fills no row
    assert rows_of(packed["train"]) == [[2, 5, 6, 7, 3, 3], [2, 8, 3, 9, 10, 3], [2, 11, 12, 13, 3, 3]]
    assert statistics == {
        "train": CorpusStatistics(documents=4, tokens=11, rows=3, dropped_tokens=3, unknown_fraction=0)
    }


def test_layout_of_packed_rows_whose_documents_are_kept_apart(letters: BertTokenizer) -> None:
    corpus = corpus_of("a b c", "d", "\u200b", "e f g h i", "j k l")
    args = DataArguments(document_attention=True)
    packed, statistics = tokenize_and_pack(corpus, letters, args, max_seq_length=7)
    # [CLS] [CLS] a b c [SEP] [SEP], [CLS] d [SEP] [CLS] e [SEP]: every part of a document has both around it
    rows = [[2, 2, 5, 6, 7, 3, 3], [2, 2, 8, 3, 2, 9, 3], [2, 10, 11, 12, 13, 3, 3], [2, 2, 14, 15, 16, 3, 3]]
    assert rows_of(packed["train"]) == rows
    assert statistics["train"] == CorpusStatistics(
        documents=4, tokens=12, rows=4, dropped_tokens=0, unknown_fraction=0
    )


def test_line_by_line(letters: BertTokenizer) -> None:
    args = DataArguments(line_by_line=True, max_seq_length=5)
    rows, statistics = tokenize_and_pack(corpus_of("a b c d e", "\u200b", "f", "? g"), letters, args)
    assert rows_of(rows["train"]) == [[2, 5, 6, 7, 3], [2, 10, 3], [2, 1, 11, 3]]
    assert statistics["train"] == CorpusStatistics(
        documents=3, tokens=8, rows=3, dropped_tokens=2, unknown_fraction=1 / 8
    )


@pytest.mark.parametrize("line_by_line", [False, True])
def test_special_tokens_in_a_text_stay_text(letters: BertTokenizer, line_by_line: bool) -> None:
    corpus = corpus_of("a [SEP] [MASK] b [UNK] [CLS] [PAD]")
    rows, _ = tokenize_and_pack(corpus, letters, DataArguments(line_by_line=line_by_line), max_seq_length=10)
    expected = "[CLS] a [ sep ] [ mask ] b [SEP]".split()
    assert letters.convert_ids_to_tokens(rows_of(rows["train"])[0]) == expected


def random_documents(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(list("abcdefgh"), rng.integers(1, 60))) for _ in range(count)]


@pytest.mark.parametrize(("workers", "documents_a_batch"), [(None, 1), (None, 200), (2, 7), (3, 200)])
def test_result_does_not_depend_on_processes_or_batches(
    letters: BertTokenizer, monkeypatch: pytest.MonkeyPatch, workers: int | None, documents_a_batch: int
) -> None:
    documents = random_documents(290)  # over 2000 rows, in more than one batch of rows too
    stream = [token for text in documents for token in [*letters.encode(text, add_special_tokens=False), SEP]]
    expected = [[CLS, *stream[start : start + 4], SEP] for start in range(0, len(stream) - len(stream) % 4, 4)]
    monkeypatch.setattr(packing, "_DOCUMENTS_A_BATCH", documents_a_batch)
    args = DataArguments(preprocessing_num_workers=workers)
    packed, statistics = tokenize_and_pack(corpus_of(*documents), letters, args, max_seq_length=6)
    assert rows_of(packed["train"]) == expected and len(expected) > 2000
    assert statistics["train"].dropped_tokens == len(stream) % 4


def test_limits_count_rows(letters: BertTokenizer) -> None:
    text = Dataset.from_dict({"text": random_documents(50)})
    args = DataArguments(max_train_samples=7, max_eval_samples=3)
    whole, _ = tokenize_and_pack(DatasetDict(train=text, validation=text), letters, max_seq_length=8)
    capped, statistics = tokenize_and_pack(DatasetDict(train=text, validation=text), letters, args, max_seq_length=8)
    assert rows_of(capped["train"]) == rows_of(whole["train"])[:7]
    assert rows_of(capped["validation"]) == rows_of(whole["validation"])[:3]
    total = statistics["train"].tokens + statistics["train"].documents
    assert (statistics["train"].rows, statistics["train"].dropped_tokens) == (7, total - 7 * 6)
    assert len(rows_of(tokenize_and_pack(corpus_of("a b"), letters, args, max_seq_length=4)[0]["train"])) == 1


def test_default_length(letters: BertTokenizer) -> None:
    corpus = corpus_of("a " * 300)
    for args, length in [(None, 128), (DataArguments(max_seq_length=32), 32)]:
        assert len(rows_of(tokenize_and_pack(corpus, letters, args)[0]["train"])[0]) == length


def test_too_little_text(letters: BertTokenizer) -> None:
    with pytest.raises(UserError, match="the train text has 5 tokens, too few .* max_seq_length 16"):
        tokenize_and_pack(corpus_of("a b c", "d e"), letters, max_seq_length=16)
    with pytest.raises(UserError, match="the train text has 0 tokens"):
        tokenize_and_pack(corpus_of("\u200b"), letters, DataArguments(line_by_line=True))


def test_long_documents_give_no_warning(letters: BertTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    letters.model_max_length = 16
    tokenize_and_pack(corpus_of("a " * 500), letters, max_seq_length=16)
    assert not caplog.records


PREPARE = """
import json, sys
from transformers import BertTokenizer
from transformers_mcl.data import DataArguments, load_corpus, tokenize_and_pack
text, tokenizer, cache, options = sys.argv[1:]
args = DataArguments(train_file=[text], **json.loads(options))
rows, _ = tokenize_and_pack(load_corpus(args, cache_dir=cache), BertTokenizer.from_pretrained(tokenizer), args)
print(json.dumps({split: list(table["input_ids"]) for split, table in rows.items()}))
"""


def test_a_second_call_reads_the_cache(letters: BertTokenizer, tmp_path: Path) -> None:
    text, cache = tmp_path / "a.txt", tmp_path / "cache"
    text.write_text("\n".join(random_documents(100)))
    letters.save_pretrained(tmp_path / "letters")
    tokenizer = BertTokenizer.from_pretrained(tmp_path / "letters")

    def prepare(**values: Any) -> dict[str, list[list[int]]]:
        args = DataArguments(train_file=[str(text)], max_seq_length=8, **values)
        rows, _ = tokenize_and_pack(load_corpus(args, cache_dir=str(cache)), tokenizer, args)
        return {name: rows_of(split) for name, split in rows.items()}

    def tables() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")}

    first, written = prepare(), tables()
    assert written
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=2)  # leaves traces in the tokenizer
    assert (prepare(), tables()) == (first, written)
    assert (prepare(preprocessing_num_workers=2), tables()) == (first, written)
    # Another process finds it too.
    options = json.dumps({"max_seq_length": 8})
    command = [sys.executable, "-c", PREPARE, str(text), str(tmp_path / "letters"), str(cache), options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert (json.loads(done.stdout), tables()) == (first, written)
    # Another length tokenizes nothing again; overwrite_cache does.
    prepare_longer = DataArguments(train_file=[str(text)], max_seq_length=9)
    tokenize_and_pack(load_corpus(prepare_longer, cache_dir=str(cache)), tokenizer, prepare_longer)
    longer = tables()
    assert len(longer) == len(written) + 2 and written.items() <= longer.items()
    assert prepare(overwrite_cache=True) == first
    changed = {path for path, time in tables().items() if longer.get(path) != time}
    assert len(changed) >= 5  # the documents; tokens and rows of both splits


PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c", "##d", ",", "今", "天"]


def pieces() -> BertTokenizer:
    return BertTokenizer(vocab={token: number for number, token in enumerate(PIECES)})


def marked(split: Dataset) -> list[str]:
    """Rows as text, with `|` before what begins a word."""
    assert split.column_names == ["input_ids", "word_starts"]
    return [
        " ".join(
            "|" * start + PIECES[token] for token, start in zip(row["input_ids"], row["word_starts"], strict=True)
        )
        for row in split
    ]


TEXT = ("acd b, 今天", "\u200b", "bcc ?", "a bdd")


@pytest.mark.parametrize("workers", [None, 2])
def test_rows_say_where_words_begin(workers: int | None) -> None:
    """A word that a row cuts goes on in the next; the tokenizer says what is one; only training rows have it."""
    text = Dataset.from_dict({"text": list(TEXT)})
    args = DataArguments(whole_word_mask=True, preprocessing_num_workers=workers)
    splits = DatasetDict(train=text, validation=text)
    rows, statistics = tokenize_and_pack(splits, pieces(), args, max_seq_length=6)
    assert marked(rows["train"]) == [
        "[CLS] |a ##c ##d |b [SEP]",
        "[CLS] |, |今 |天 [SEP] [SEP]",
        "[CLS] |b ##c ##c |[UNK] [SEP]",
        "[CLS] [SEP] |a |b ##d [SEP]",
    ]
    plain, expected = tokenize_and_pack(splits, pieces(), max_seq_length=6)
    assert statistics == expected and expected["train"].unknown_fraction > 0
    assert rows["train"]["input_ids"] == plain["train"]["input_ids"]
    assert rows_of(rows["validation"]) == rows_of(plain["validation"])


def test_words_of_documents_kept_apart_and_of_lines() -> None:
    apart = DataArguments(whole_word_mask=True, document_attention=True)
    rows, _ = tokenize_and_pack(corpus_of(*TEXT), pieces(), apart, max_seq_length=8)
    assert marked(rows["train"])[:2] == [
        "[CLS] [CLS] |a ##c ##d |b |, [SEP]",
        "[CLS] |今 |天 [SEP] [CLS] |b ##c [SEP]",
    ]
    lines = DataArguments(whole_word_mask=True, line_by_line=True)
    rows, _ = tokenize_and_pack(corpus_of(*TEXT), pieces(), lines, max_seq_length=4)
    assert marked(rows["train"]) == ["[CLS] |a ##c [SEP]", "[CLS] |b ##c [SEP]", "[CLS] |a |b [SEP]"]


def test_words_prepare_the_text_anew_and_leave_the_cache_of_tokens(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(TEXT), encoding="utf-8")
    given: dict[str, Any] = {"train_file": [str(tmp_path / "text.txt")], "max_seq_length": 6}
    given |= {"validation_file": given["train_file"]}

    def files(**more: Any) -> set[str]:
        args = DataArguments(**given, **more)
        rows, _ = tokenize_and_pack(load_corpus(args, cache_dir=str(tmp_path / "cache")), pieces(), args)
        return {str(file["filename"]) for file in rows["train"].cache_files}

    tokens = files()
    assert files(whole_word_mask=True).isdisjoint(tokens)
    assert files() == files(whole_word_mask=False) == tokens
