"""Consumers read as much as one another, whatever the sizes of shards, and each document once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import fsspec
import numpy as np
import pytest
from datasets import Dataset
from transformers import BertTokenizer

from transformers_mcl.data import DataArguments, TextStream, streaming
from transformers_mcl.data.forms import Form
from transformers_mcl.data.shards import Reading, Shard, find_shards
from transformers_mcl.data.shares import file_sizes, shard_sizes, share_out, spread

TEXT, ZIPPED = Form("text"), Form("text", "gz")
BYTES_A_DOCUMENT = 100
MakeStream = Callable[[np.ndarray], TextStream]


def uneven(shards: int, documents: int) -> np.ndarray:
    """So many documents, in shards of which the largest is a hundred times the middle one and some are empty."""
    shares = np.random.default_rng(0).lognormal(sigma=1.5, size=shards)
    return np.round(shares * documents / shares.sum()).astype(int)


def one_large(shards: int, documents: int) -> np.ndarray:
    counts = np.full(shards, documents // (2 * shards))
    counts[shards // 2] = documents // 2
    return counts


@pytest.fixture
def make_stream(letters: BertTokenizer, monkeypatch: pytest.MonkeyPatch) -> MakeStream:
    """A stream of made-up shards of so many documents."""

    def make(counts: np.ndarray) -> TextStream:
        def read_documents(shard: Shard, _: Reading) -> Iterator[str]:
            return (f"{shard.start} {number}" for number in range(counts[shard.start]))

        monkeypatch.setattr(streaming, "read_documents", read_documents)
        monkeypatch.setattr(streaming, "shard_sizes", lambda _: np.maximum(counts * BYTES_A_DOCUMENT, 1))
        return TextStream([Shard(f"{number}.txt", TEXT, number, number + 1) for number in range(len(counts))], letters)

    return make


@pytest.mark.parametrize(
    ("counts", "consumers"),
    [
        (uneven(10_000, 40_000), 1024),
        (uneven(1_500, 20_000), 1024),
        (uneven(100, 20_000), 1024),
        (one_large(3_000, 12_000), 1024),
        (np.array([5_000]), 1024),
        (uneven(50, 1_000), 7),
    ],
    ids=["many shards", "about as many", "few shards", "one is half of all", "a single one", "few consumers"],
)
def test_every_consumer_reads_as_much(make_stream: MakeStream, counts: np.ndarray, consumers: int) -> None:
    stream = make_stream(counts)
    seen, read = Counter[str](), []
    for consumer in range(consumers):
        mine = [text for text, _ in of_one_epoch(stream, consumer, consumers)]
        seen.update(mine)
        read.append(len(mine))
    assert len(seen) == counts.sum() and max(seen.values()) == 1
    assert 0 < min(read) and max(read) <= 2 * np.mean(read)


def of_one_epoch(stream: TextStream, consumer: int, consumers: int) -> Iterator[tuple[str, streaming.SourcePosition]]:
    for text, place in stream._documents(0, streaming.SourcePosition(1), consumer, consumers):
        if text is None:
            return
        yield text, place


def test_a_position_is_small_in_the_largest_text(make_stream: MakeStream) -> None:
    sizes = []
    for shards in (100, 100_000):
        *_, (_, place) = of_one_epoch(make_stream(uneven(shards, 400_000)), 1023, 1024)
        sizes.append(len(json.dumps(asdict(streaming.StreamPosition((place,))))))
    assert max(sizes) < 120


@pytest.mark.parametrize("consumers", [1, 3, 10])
def test_pieces_fill_every_shard_without_overlap(consumers: int) -> None:
    sizes, order = np.array([5, 1, 30, 7]), np.array([2, 0, 3, 1])
    pieces = [piece for consumer in range(consumers) for piece in share_out(sizes, order, consumer, consumers)]
    assert list(dict.fromkeys(piece.shard for piece in pieces)) == order.tolist()
    for shard in order:
        mine = [piece for piece in pieces if piece.shard == shard]
        assert mine[0].low == 0 and mine[-1].high == 1
        assert all(before.high == after.low for before, after in zip(mine, mine[1:], strict=False))


def test_a_piece_has_its_share_of_any_number_of_documents() -> None:
    for documents in (10, 100, 1000):
        places = np.array([spread(number) for number in range(1, documents + 1)])
        shares = np.histogram(places, bins=documents // 5, range=(0, 1))[0]
        assert shares.min() >= 3 and shares.max() <= 7


def test_sizes_are_those_of_the_parts_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 100)
    (tmp_path / "b.txt.gz").write_bytes(b"x" * 40)
    Dataset.from_dict({"text": ["word"] * 3_000}).save_to_disk(tmp_path / "saved")
    saved = find_shards(DataArguments(dataset_name=[str(tmp_path / "saved")]))["train"]
    a, b = str(tmp_path / "a.txt"), str(tmp_path / "b.txt.gz")
    sizes = shard_sizes([Shard(a, TEXT, 0, 60), Shard(a, TEXT, 60, 100), Shard(b, ZIPPED), *saved])
    assert sizes[:3].tolist() == [60, 40, 120]  # of compressed text, about as much as there is in it
    assert len(saved) == 3 and np.ptp(sizes[3:]) <= 1
    assert sizes[3:].sum() == pytest.approx(Path(saved[0].path).stat().st_size, abs=3)


def test_a_file_system_is_asked_for_the_sizes_of_a_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    paths = [f"memory://sizes/{number}.txt" for number in range(5)]
    for number, path in enumerate(paths):
        memory.pipe(path, b"x" * (number + 1))
    asked, list_files = [], memory.ls

    def ls(path: str, **options: bool) -> list[dict[str, object]]:
        asked.append(path)
        return list_files(path, **options)

    monkeypatch.setattr(type(memory), "ls", lambda _, path, **options: ls(path, **options))
    assert list(file_sizes(paths).values()) == [1, 2, 3, 4, 5]
    assert len(asked) == 1
    assert file_sizes(["memory://nowhere/a.txt"]) == {}
    missing = [Shard(path, TEXT) for path in (*paths, "memory://nowhere/a.txt")]
    assert shard_sizes(missing).tolist() == [1, 2, 3, 4, 5, 3]  # as the others are, on the mean
