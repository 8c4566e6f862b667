"""Data sets of the Hub are read where they are, a part at a time, and a line that breaks costs nothing.

The real client, and a Hub on the loopback.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import fsspec
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem
from transformers import BertTokenizer

from tests.hub.hub_server import TOKEN, Hub, serving
from transformers_mcl.data import (
    DataArguments,
    DataCollatorForMcl,
    StreamLoader,
    load_corpus,
    load_stream,
    remote,
    rows,
)
from transformers_mcl.data.documents import Reading, read_documents
from transformers_mcl.data.shards import find_shards
from transformers_mcl.data.streaming import SourcePosition
from transformers_mcl.errors import UserError

ROWS = 60
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that the client in this process takes for the real one; it does not wait before it asks again."""
    with serving() as server:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        monkeypatch.setattr(fsspec.config, "conf", {})
        monkeypatch.setattr(remote, "_sizes", {})
        HfFileSystem.clear_instance_cache()
        yield server
        HfFileSystem.clear_instance_cache()


def text(number: int) -> str:
    return " ".join(LETTERS[number // 26**place % 26] for place in range(3))


def parquet(numbers: range) -> bytes:
    """Three row groups, whose other column is much larger than the text."""
    sink = io.BytesIO()
    other = pa.array([bytes([number % 251]) * 20_000 for number in numbers])
    table = pa.table({"text": [text(number) for number in numbers], "other": other})
    pq.write_table(table, sink, row_group_size=ROWS // 3, compression="none", use_dictionary=False)
    return sink.getvalue()


def jsonl(numbers: range) -> bytes:
    return "".join(json.dumps({"text": text(number)}) + "\n" for number in numbers).encode()


@pytest.fixture
def name(hub: Hub) -> str:
    """Four files of the training split, and one of the validation split."""
    files = {f"data/train-0000{n}-of-00004.parquet": parquet(range(n * ROWS, (n + 1) * ROWS)) for n in range(4)}
    files["data/validation-00000-of-00001.parquet"] = parquet(range(1000, 1000 + ROWS))
    hub.repositories["datasets/ada/texts"] = {"README.md": b"---\nlicense: mit\n---\n", **files}
    return "ada/texts"


def arguments(name: str, **values: Any) -> DataArguments:
    given = {"validation_documents": 5, "max_seq_length": 8, "shuffle_buffer_size": 6, **values}
    return DataArguments(dataset_name=[name], streaming=True, **given)


@pytest.fixture
def tokenizer() -> BertTokenizer:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    return BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})


def load(name: str, tokenizer: BertTokenizer, workers: int = 0, token: str | None = None) -> StreamLoader:
    stream, _ = load_stream(arguments(name), tokenizer, token=token)
    return StreamLoader(stream, 10**9, DataCollatorForMcl(tokenizer), batch_size=4, num_workers=workers)


def batches(loader: StreamLoader, count: int) -> list[list[list[int]]]:
    return [batch["input_ids"].tolist() for batch in islice(loader, count)]


def test_files_are_found_without_being_read(hub: Hub, name: str, tokenizer: BertTokenizer) -> None:
    stream, held_out = load_stream(arguments(name), tokenizer)
    assert list(held_out["validation"]["text"]) == [text(1000 + number) for number in range(5)]
    assert [Path(shard.path).name for shard in stream.shards] == [f"train-0000{n}-of-00004.parquet" for n in range(4)]
    assert stream.statistics.files == 4 and stream.statistics.bytes > 4 * ROWS * 20_000
    read = {request.split("/")[-1] for request in hub.requests if request.endswith(".parquet")}
    # Of the first the first row, which shows that there is text in it.
    assert read == {"train-00000-of-00004.parquet", "validation-00000-of-00001.parquet"}
    assert hub.sent < stream.statistics.bytes / 4
    listed = [request for request in hub.requests if "/tree/" in request and "/data" in request]
    assert len(listed) <= 3  # by datasets, and for the sizes


def test_only_the_text_is_fetched_and_a_row_group_at_a_time(
    hub: Hub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_ROWS_A_BATCH", 10)  # a batch may span row groups
    source = find_shards(DataArguments(dataset_name=[name]))
    shard = source["train"][1]
    hub.sent = 0
    documents = read_documents(shard, Reading())
    begin = list(islice(documents, 1))
    first = hub.sent
    assert [*begin, *documents] == [text(number) for number in range(ROWS, 2 * ROWS)]
    footer = 1 << 16  # what pyarrow asks for at the end of a file
    assert first < footer + 10_000
    assert 0 < hub.sent - first < 10_000  # of the 1.2 MB of the file


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst", "txt", "txt.gz"])
def test_other_files_are_read_as_well(hub: Hub, ending: str) -> None:
    content = jsonl(range(200)) if "json" in ending else "\n".join(map(text, range(200))).encode()
    if ending.endswith("gz"):
        content = gzip.compress(content)
    elif ending.endswith("zst"):
        content = pa.compress(content, "zstd", asbytes=True)
    hub.repositories["datasets/ada/lines"] = {f"train.{ending}": content}
    source = find_shards(DataArguments(dataset_name=["ada/lines"]))
    assert list(read_documents(source["train"][0], Reading())) == [text(number) for number in range(200)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_line_that_breaks_costs_nothing(hub: Hub, name: str, tokenizer: BertTokenizer, workers: int) -> None:
    whole = batches(load(name, tokenizer, workers), 60)  # more than an epoch
    loader = load(name, tokenizer, workers)
    hub.cut, hub.cuts = 200, 4
    broken = batches(loader, 60)
    assert hub.cuts == 0 and broken == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_cannot_be_read_is_named(hub: Hub, name: str, tokenizer: BertTokenizer, workers: int) -> None:
    loader = load(name, tokenizer, workers)
    got = batches(loader, 2)
    state = json.loads(json.dumps(loader.state_dict()))
    hub.cut = 200
    message = r"^'hf://datasets/ada/texts@.*/data/train-0000.-of-00004\.parquet': cannot be read: .*peer closed"
    with pytest.raises(UserError, match=message) as caught:
        batches(loader, 60)
    assert "\n" not in str(caught.value)
    hub.cut = None
    mended = load(name, tokenizer, workers)
    mended.load_state_dict(state)
    assert got + batches(mended, 30) == batches(load(name, tokenizer, workers), 32)


def test_an_epoch_has_each_document_once_over_more_consumers_than_files(
    hub: Hub, name: str, tokenizer: BertTokenizer
) -> None:
    stream, _ = load_stream(arguments(name), tokenizer)
    seen: Counter[str | None] = Counter()
    for consumer in range(7):
        for document, _ in stream._documents(0, SourcePosition(), consumer, 7):
            if document is None:
                break
            seen[document] += 1
    assert seen == Counter(text(number) for number in range(4 * ROWS))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_private_data_set_is_opened_with_the_token(
    hub: Hub, name: str, tokenizer: BertTokenizer, workers: int
) -> None:
    hub.private.add(f"datasets/{name}")
    with pytest.raises(UserError, match=f"dataset_name: '{name}' is no directory here, and the Hub gave no dataset"):
        load(name, tokenizer)
    loader = load(name, tokenizer, workers, token=TOKEN)
    assert len(batches(loader, 20)) == 20
    assert TOKEN not in json.dumps(loader.state_dict())


def test_the_cached_path_reads_it_as_well(hub: Hub, name: str, tmp_path: Path) -> None:
    hub.private.add(f"datasets/{name}")
    args = DataArguments(dataset_name=[name])
    corpus = load_corpus(args, cache_dir=str(tmp_path / "cache"), token=TOKEN)
    assert list(corpus["train"]["text"]) == [text(number) for number in range(4 * ROWS)]
    assert len(corpus["validation"]) == ROWS


def test_a_data_set_without_a_training_split_says_what_it_has(hub: Hub, tokenizer: BertTokenizer) -> None:
    hub.repositories["datasets/ada/tests"] = {"test.jsonl": jsonl(range(3)), "validation.jsonl": jsonl(range(3))}
    with pytest.raises(UserError, match=r"^dataset_name: 'ada/tests' has no split 'train', only validation, test$"):
        load("ada/tests", tokenizer)
    with pytest.raises(UserError, match=re.escape("dataset_name: 'ada/nothing' is no directory here")) as caught:
        load("ada/nothing", tokenizer)
    assert "\n" not in str(caught.value)
