"""A stream gives the rows of the cached path, each document once an epoch, and goes on exactly where it was."""

from __future__ import annotations

import gzip
import json
import pickle
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from transformers_mcl.data import (
    DataArguments,
    DataCollatorForMcl,
    StreamLoader,
    TextStream,
    documents,
    load_corpus,
    load_stream,
    shards,
    sources,
    streaming,
    tokenize_and_pack,
)
from transformers_mcl.errors import UserError

LENGTH = 8
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def word(number: int) -> str:
    """Four letters, another for every number."""
    return "".join(ALPHABET[number // 26**place % 26] for place in range(4))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 100)
    monkeypatch.setattr(streaming, "_CHARACTERS_A_BATCH", 60)


@pytest.fixture
def tokenizer() -> BertTokenizer:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(word(number) for number in range(200))]
    return BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """200 documents of one word each, in two files."""
    (tmp_path / "a.txt").write_text("\n".join(word(number) for number in range(150)))
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps({"text": word(number)}) for number in range(150, 200)))
    return tmp_path


def arguments(*paths: Path, **more: Any) -> DataArguments:
    given = {"validation_file": [str(paths[0])], "shuffle_buffer_size": 4, "max_seq_length": LENGTH, **more}
    return DataArguments(train_file=[str(path) for path in paths], streaming=True, **given)


def loader(
    args: DataArguments, tokenizer: BertTokenizer, workers: int = 0, process: int = 0, processes: int = 1
) -> StreamLoader:
    stream, _ = load_stream(args, tokenizer)
    collator = DataCollatorForMcl(tokenizer)
    shares = {"process_index": process, "num_processes": processes}
    return StreamLoader(stream, 10**9, collator, batch_size=2, num_workers=workers, **shares)


def batches(of: StreamLoader, count: int) -> list[list[list[int]]]:
    return [batch["input_ids"].tolist() for batch in islice(of, count)]


def read_epochs(stream: TextStream, epochs: int, consumer: int = 0, consumers: int = 1) -> list[list[str]]:
    """What a consumer reads in each, before it is shuffled into rows."""
    found: list[list[str]] = [[]]
    for text, _ in stream._documents(0, streaming.SourcePosition(), consumer, consumers):
        if text is not None:
            found[-1].append(text)
        elif len(found) == epochs:
            return found
        else:
            found.append([])
    raise AssertionError("a stream does not end")


def words(rows: Iterator[list[int]] | list[list[int]]) -> list[int]:
    return [token for row in rows for token in row if token > 4]


@pytest.mark.parametrize("apart", [False, True])
def test_without_shuffling_the_rows_are_those_of_the_cached_path(
    folder: Path, tokenizer: BertTokenizer, tmp_path_factory: pytest.TempPathFactory, apart: bool
) -> None:
    args = arguments(folder, shuffle_buffer_size=0, document_attention=apart)
    cache = str(tmp_path_factory.mktemp("cache"))
    corpus = load_corpus(args, cache_dir=cache)
    expected = tokenize_and_pack(corpus, tokenizer, args)[0]["train"]["input_ids"]
    stream, held_out = load_stream(args, tokenizer, cache_dir=cache)
    rows = [row.tolist() for row, _ in islice(stream, len(expected))]
    assert rows == [list(row) for row in expected]
    assert sorted(held_out["validation"]["text"]) == sorted(word(number) for number in range(200))


@pytest.mark.parametrize("paths", [["."], ["b.jsonl"], ["a.txt.gz"]])
@pytest.mark.parametrize(("processes", "workers"), [(1, 0), (2, 0), (1, 2), (2, 2), (3, 1)])
def test_an_epoch_gives_each_document_to_one_consumer(
    folder: Path, tokenizer: BertTokenizer, paths: list[str], processes: int, workers: int
) -> None:
    """Whether there are more shards than consumers, or (compressed) a single one."""
    if paths == ["a.txt.gz"]:
        (folder / "a.txt.gz").write_bytes(gzip.compress((folder / "a.txt").read_bytes()))
        (folder / "a.txt").unlink()
    stream, _ = load_stream(arguments(*(folder / path for path in paths)), tokenizer)
    consumers = processes * max(workers, 1)
    epochs: dict[int, Counter[str]] = {0: Counter(), 1: Counter()}
    for consumer in range(consumers):
        for epoch, texts in enumerate(read_epochs(stream, 2, consumer, consumers)):
            epochs[epoch].update(texts)
    every = {word(number) for number in (range(150, 200) if paths == ["b.jsonl"] else range(150))}
    every |= {word(number) for number in range(150, 200)} if paths == ["."] else set()
    assert epochs[0] == epochs[1] == Counter(every)


@pytest.mark.parametrize("processes", [1, 2])
def test_loader_workers_lose_and_repeat_nothing(folder: Path, tokenizer: BertTokenizer, processes: int) -> None:
    """In the rows of the first epoch each word stands once, but for those of each worker's incomplete last row."""
    seen: Counter[int] = Counter()
    for process in range(processes):
        share = loader(arguments(folder), tokenizer, 2, process, processes)
        for number, batch in enumerate(islice(share, 80 // processes)):
            if share._positions[number % 2].places[0].epoch == 0:
                seen.update(words(batch["input_ids"].tolist()))
        assert min(position.places[0].epoch for position in share._positions.values()) > 0
    assert max(seen.values()) == 1
    assert len(seen) >= 200 - 2 * processes * (LENGTH - 3)


def test_each_epoch_has_an_order_of_its_own_that_follows_from_the_seed(folder: Path, tokenizer: BertTokenizer) -> None:
    stream, _ = load_stream(arguments(folder), tokenizer, seed=1)
    first = words([row.tolist() for row, _ in islice(stream, 400 // 6)])
    again = words([row.tolist() for row, _ in islice(stream, 400 // 6)])
    other = load_stream(arguments(folder), tokenizer, seed=2)[0]
    assert first == again
    assert first != words([row.tolist() for row, _ in islice(other, 400 // 6)])
    assert first[:190] != first[200:390] and first[:190] != sorted(first[:190])
    epochs = read_epochs(stream, 2)
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1])  # the shards', before the buffer
    # Rows of different shards do not only change places as wholes: the buffer mixes them.
    assert np.mean(np.diff(first[:190]) == 1) < 0.9


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 7, 31])  # in an epoch, past one border, past several
def test_goes_on_exactly_where_it_was(folder: Path, tokenizer: BertTokenizer, workers: int, taken: int) -> None:
    args = arguments(folder, shuffle_buffer_size=10)
    whole = batches(loader(args, tokenizer, workers), taken + 30)
    before = loader(args, tokenizer, workers)
    assert batches(before, taken) == whole[:taken]
    state = json.loads(json.dumps(before.state_dict()))
    after = loader(args, tokenizer, workers)
    after.load_state_dict(state)
    assert batches(after, 30) == whole[taken:]


def test_going_on_reads_one_shard_again_at_most(
    folder: Path, tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(folder / "a.txt", shuffle_buffer_size=2)
    before = loader(args, tokenizer)
    batches(before, 30)  # of 50 an epoch
    after = loader(args, tokenizer)
    after.load_state_dict(before.state_dict())
    read: list[shards.Shard] = []

    def reading(shard: shards.Shard, how: shards.Reading) -> Iterator[str]:
        read.append(shard)
        return shards.read_documents(shard, how)

    monkeypatch.setattr(streaming, "read_documents", reading)
    batches(after, 1)
    assert len(read) <= 4  # those of two blocks
    assert len(after.stream.shards) > 6


def test_a_state_of_another_stream_is_refused(folder: Path, tokenizer: BertTokenizer) -> None:
    before = loader(arguments(folder), tokenizer)
    batches(before, 1)
    for other, message in [
        (loader(arguments(folder, shuffle_buffer_size=5), tokenizer), "shuffle_buffer_size is 5.* had 4"),
        (loader(arguments(folder), tokenizer, workers=2), "dataloader_num_workers is 2.* had 0"),
        (loader(arguments(folder), tokenizer, processes=2), "processes is 2.* had 1"),
        (loader(arguments(folder / "a.txt"), tokenizer), "text is .* shards"),
    ]:
        with pytest.raises(UserError, match=message):
            other.load_state_dict(before.state_dict())


def test_the_first_documents_are_held_out(folder: Path, tokenizer: BertTokenizer) -> None:
    args = arguments(folder, validation_file=None, validation_documents=30)
    stream, held_out = load_stream(args, tokenizer)
    assert held_out["validation"]["text"] == [word(number) for number in range(30)]
    assert Counter(read_epochs(stream, 1)[0]) == Counter(word(number) for number in range(30, 200))
    with pytest.raises(UserError, match="validation_documents is 200, but the whole text .* has no more than 200"):
        load_stream(arguments(folder, validation_file=None, validation_documents=200), tokenizer)


def test_of_a_split_elsewhere_the_first_documents_are_held_out(
    tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    for name, numbers in (("train", range(20)), ("validation", range(20, 40))):
        memory.pipe(f"/hub/{name}.txt", "\n".join(word(number) for number in numbers).encode())

    class Builder:
        class config:
            data_files = {name: [f"memory://hub/{name}.txt"] for name in ("train", "validation")}

    monkeypatch.setattr(sources, "load_dataset_builder", lambda *_, **__: Builder)
    stream, held_out = load_stream(
        DataArguments(dataset_name=["someone/texts"], streaming=True, validation_documents=5), tokenizer
    )
    assert held_out["validation"]["text"] == [word(number) for number in range(20, 25)]
    assert stream.statistics.bytes == 99
    assert sorted(read_epochs(stream, 1)[0]) == sorted(word(number) for number in range(20))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_breaks_off_ends_the_loading_in_one_line(
    folder: Path, tokenizer: BertTokenizer, workers: int
) -> None:
    broken = loader(arguments(folder), tokenizer, workers)
    with (folder / "b.jsonl").open("r+") as file:
        file.truncate((folder / "b.jsonl").stat().st_size - 4)
    with pytest.raises(UserError, match=r"^'.*b\.jsonl', line 50: not JSON.*$"):
        batches(broken, 100)


@pytest.mark.parametrize("workers", [0, 2])
def test_too_few_documents_for_the_workers(tmp_path: Path, tokenizer: BertTokenizer, workers: int) -> None:
    (tmp_path / "one.txt").write_text("aaaa baaa\n")
    few = loader(arguments(tmp_path / "one.txt"), tokenizer, workers)
    if workers:
        with pytest.raises(UserError, match="no document for loader worker . of 2"):
            batches(few, 100)
    else:  # far less than a row, over and over
        assert words(batches(few, 3)[2]) == [5, 6, 5, 6, 5, 6, 5, 6]


def test_the_same_file_to_train_on_and_to_hold_out_is_said(
    folder: Path, tokenizer: BertTokenizer, said: pytest.LogCaptureFixture
) -> None:
    (folder / "link.txt").symlink_to(folder / "a.txt")
    load_stream(arguments(folder / "link.txt", validation_file=[str(folder / "a.txt")]), tokenizer)
    assert "a.txt' is held-out text and training text" in said.text


def test_a_held_out_document_that_is_met_is_said_once(
    folder: Path, tokenizer: BertTokenizer, said: pytest.LogCaptureFixture
) -> None:
    (folder / "held_out.txt").write_text(f"{word(151)}\n {word(3)} \n{word(152)}\n{word(199)}1")
    args = arguments(folder / "a.txt", validation_file=[str(folder / "held_out.txt")])
    batches(loader(args, tokenizer), 80)  # several epochs
    assert len(set(map(id, said.records))) == 1  # which may be handled twice
    assert f"a held-out document also stands in the training text: {word(3)!r}" in said.text
    said.clear()
    (folder / "held_out.txt").write_text(f"{word(151)}\n")
    batches(loader(args, tokenizer), 80)
    assert not said.text


def test_the_loader_draws_nothing_from_the_global_generator(folder: Path, tokenizer: BertTokenizer) -> None:
    state = torch.random.get_rng_state()
    batches(loader(arguments(folder), tokenizer, workers=1), 2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_says_what_is_known(folder: Path, tokenizer: BertTokenizer) -> None:
    stream = load_stream(arguments(folder / "a.txt"), tokenizer)[0]
    assert str(stream.statistics) == "a stream of 1 files in 8 shards, 749 bytes; its tokens are not counted"


def test_arguments_that_do_not_go_together(folder: Path) -> None:
    with pytest.raises(UserError, match="streaming does not go with line_by_line True"):
        arguments(folder, line_by_line=True)
    with pytest.raises(UserError, match="shuffle_buffer_size=-1 must be 0 or more"):
        arguments(folder, shuffle_buffer_size=-1)


def test_texts_are_tokenized_some_at_a_time(folder: Path, tokenizer: BertTokenizer) -> None:
    stream = load_stream(arguments(folder / "b.jsonl"), tokenizer)[0]
    at = streaming.StreamPosition((streaming.SourcePosition(),))
    sizes = [len(texts) for texts, _ in islice(stream._batches(at, 0, 1), 5)]
    assert sizes == [15, 15, 15, 5, 15]  # of four letters; a batch ends where an epoch does


def test_workers_may_be_started_by_spawning(folder: Path, tokenizer: BertTokenizer) -> None:
    """Where a process is not forked, the loader's parts are pickled."""
    here = loader(arguments(folder), tokenizer)
    there = pickle.loads(pickle.dumps(here))
    assert batches(there, 3) == batches(here, 3)


def test_is_a_data_set_of_torch(folder: Path, tokenizer: BertTokenizer) -> None:
    assert isinstance(load_stream(arguments(folder), tokenizer)[0], torch.utils.data.IterableDataset)
    assert TextStream([], tokenizer).statistics.bytes == 0


def test_whole_words_are_those_of_the_cached_path_and_go_on_where_they_were(tmp_path: Path) -> None:
    pieces = [f"##{letter}" for letter in ALPHABET]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ALPHABET, *pieces]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})
    (tmp_path / "a.txt").write_text("\n".join(f"{word(n)} {word(n + 1)[: n * n % 5]}" for n in range(150)))
    args = arguments(tmp_path / "a.txt", shuffle_buffer_size=0, whole_word_mask=True)
    cached = tokenize_and_pack(load_corpus(args, cache_dir=str(tmp_path / "cache")), tokenizer, args)[0]["train"]
    got = [
        (row, starts)
        for batch in islice(loader(args, tokenizer), len(cached) // 2)
        for row, starts in zip(batch["input_ids"].tolist(), batch["word_starts"].tolist(), strict=True)
    ]
    rows = zip(cached["input_ids"], cached["word_starts"], strict=True)
    assert got == [(list(row), list(starts)) for row, starts in rows][: len(got)]

    def starts(of: StreamLoader, count: int) -> list[Any]:
        return [(batch["input_ids"].tolist(), batch["word_starts"].tolist()) for batch in islice(of, count)]

    args = arguments(tmp_path / "a.txt", whole_word_mask=True)
    expected, rests = starts(loader(args, tokenizer), 24), []
    for done in range(1, 20):
        first, second = loader(args, tokenizer), loader(args, tokenizer)
        begun = starts(first, done)
        state = json.loads(json.dumps(first.state_dict()))
        rests += [token for position in state["positions"].values() for token in position["rest"]]
        second.load_state_dict(state)
        assert begun + starts(second, 24 - done) == expected
    assert max(rests) > len(tokenizer) > min(rests)  # a row was begun, with beginnings of words and what goes on
    with pytest.raises(UserError, match="whole_word_mask is False, but the checkpoint's stream had True"):
        loader(arguments(tmp_path / "a.txt"), tokenizer).load_state_dict(state)
    del state["stream"]["whole_word_mask"]  # of an older checkpoint
    loader(arguments(tmp_path / "a.txt"), tokenizer).load_state_dict(state)
