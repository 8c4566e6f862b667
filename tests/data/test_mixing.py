"""Sources are read one after the other, or in the proportions that were asked for, by both paths."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import BertTokenizer

from transformers_mcl.data import DataArguments, DataCollatorForMcl, StreamLoader, load_corpus, load_stream, streaming
from transformers_mcl.data.mixing import join
from transformers_mcl.data.streaming import SourcePosition, StreamPosition
from transformers_mcl.errors import UserError


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_CHARACTERS_A_BATCH", 20)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """200 documents `a …`, 30 `b …`, a folder with 60 and 5 `c …`."""
    for name, count in {"a.txt": 200, "b.txt": 30, "c/train.txt": 60, "c/validation.txt": 5}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{name[0]} {'v ' * ('valid' in name)}{number}\n" for number in range(count)))
    return [str(tmp_path / name) for name in ("a.txt", "b.txt", "c")]


def arguments(paths: list[str], **values: Any) -> DataArguments:
    given = {"train_file": paths[:2], "dataset_name": [paths[2]], "document_separator": "line", "max_seq_length": 8}
    return DataArguments(**{**given, **values})


def first_letters(texts: list[str]) -> Counter[str]:
    return Counter(text[0] for text in texts)


def test_without_weights_all_text_is_read_once(tmp_path: Path, paths: list[str]) -> None:
    corpus = load_corpus(arguments(paths), cache_dir=str(tmp_path / "cache"))
    train, held_out = list(corpus["train"]["text"]), list(corpus["validation"]["text"])
    # A data set has a validation split; of the files, which are one text, 5 % are held out.
    assert first_letters(held_out)["c"] == 5 and len(held_out) == 5 + round(230 * 0.05)
    assert len(set(train)) == len(train) == 290 - round(230 * 0.05)
    assert [text[0] for text in train] == sorted(text[0] for text in train)


def test_with_weights_documents_come_in_these_proportions(tmp_path: Path, paths: list[str]) -> None:
    args = arguments(paths, mixing_weights=[3, 1, 2])
    corpus = load_corpus(args, cache_dir=str(tmp_path / "cache"))
    train = list(corpus["train"]["text"])
    shares = {letter: count / len(train) for letter, count in first_letters(train).items()}
    assert shares == pytest.approx({"a": 1 / 2, "b": 1 / 6, "c": 1 / 3}, abs=0.08)  # drawn at random
    assert len({text for text in train if text[0] == "a"}) == 190  # nothing is lost: 5 % are held out
    assert first_letters(list(corpus["validation"]["text"])) == {"a": 10, "b": 2, "c": 5}
    assert corpus["train"].info.description == "; ".join(
        [
            f"0.5 {paths[0]}: one document a line, read 1 times",
            f"0.167 {paths[1]}: one document a line, read 2.26 times",
            f"0.333 {paths[2]}/train.txt: one document a line, read 2.11 times",
        ]
    )
    again = load_corpus(args, cache_dir=str(tmp_path / "cache"))["train"]["text"]
    assert list(again) == train
    other = load_corpus(args, cache_dir=str(tmp_path / "cache"), seed=1)["train"]["text"]
    assert list(other) != train


def test_a_text_that_would_be_read_very_often_is_refused() -> None:
    large, little = (Dataset.from_dict({"text": ["a"] * length}) for length in (10_000, 10))
    large.info.description, little.info.description = "large.txt", "little.txt"
    with pytest.raises(UserError, match=r"^mixing_weights: little\.txt would be read 1,000 times.*--streaming true"):
        join([large, little], [1, 1])


@pytest.fixture
def tokenizer() -> BertTokenizer:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "v", *map(str, range(200))]
    return BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})


@pytest.mark.parametrize("consumers", [1, 3])
def test_a_stream_has_the_same_proportions_everywhere(
    paths: list[str], tokenizer: BertTokenizer, consumers: int
) -> None:
    stream, held_out = load_stream(
        arguments(paths, mixing_weights=[3, 1, 2], streaming=True, validation_documents=12), tokenizer
    )
    assert first_letters(list(held_out["validation"]["text"])) == {"a": 6, "b": 2, "c": 5}
    of_epochs: Counter[str] = Counter()
    for consumer in range(consumers):
        begin = StreamPosition((SourcePosition(),) * 3)
        batches = [texts for texts, _ in islice(stream._batches(begin, consumer, consumers), 400)]
        letters = np.array([text[0] for texts in batches for text in texts])
        for letters_there in np.split(letters[:1200], 12):  # not only on the whole
            shares = [(letters_there == letter).mean() for letter in "abc"]
            assert shares == pytest.approx([1 / 2, 1 / 6, 1 / 3], abs=0.03)
        for source in range(3):
            documents = stream._documents(source, SourcePosition(), consumer, consumers)
            of_epochs.update(text for text, _ in takewhile(lambda item: item[0] is not None, documents) if text)
    assert set(of_epochs.values()) == {1} and first_letters(list(of_epochs)) == {"a": 194, "b": 28, "c": 60}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 9, 40])  # in an epoch, past one source's border, past all
def test_a_mixed_stream_goes_on_exactly_where_it_was(
    paths: list[str], tokenizer: BertTokenizer, workers: int, taken: int
) -> None:
    def load(**values: Any) -> StreamLoader:
        given = {"mixing_weights": [3, 1, 2], "streaming": True, "validation_documents": 12, "shuffle_buffer_size": 8}
        stream, _ = load_stream(arguments(paths, **{**given, **values}), tokenizer)
        return StreamLoader(stream, 10**9, DataCollatorForMcl(tokenizer), batch_size=4, num_workers=workers)

    def batches(loader: StreamLoader, count: int) -> list[list[list[int]]]:
        return [batch["input_ids"].tolist() for batch in islice(loader, count)]

    whole = batches(load(), taken + 20)
    before = load()
    assert batches(before, taken) == whole[:taken]
    state = json.loads(json.dumps(before.state_dict()))
    after = load()
    after.load_state_dict(state)
    assert batches(after, 20) == whole[taken:]
    with pytest.raises(UserError, match=r"mixing_weights is \[0\.25, .* had \[0\.5, "):
        load(mixing_weights=[1, 1, 2]).load_state_dict(state)
    with pytest.raises(UserError, match="text is "):
        load(validation_documents=6).load_state_dict(state)


def test_a_source_with_too_few_documents_is_named(paths: list[str], tokenizer: BertTokenizer) -> None:
    Path(paths[1]).write_text("b 1\n", encoding="utf-8")
    values: dict[str, Any] = {"mixing_weights": [3, 1, 2], "streaming": True, "validation_file": [paths[0]]}
    stream, _ = load_stream(arguments(paths, **values), tokenizer)
    loader = StreamLoader(stream, 10**9, DataCollatorForMcl(tokenizer), batch_size=4, num_processes=2)
    with pytest.raises(UserError, match=r"^the stream has no document of '.*b\.txt' for loader worker 1 of 2"):
        list(islice(loader, 100))
