"""Shards of a file give each of its documents once, the same as the cached path reads."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from transformers_mcl.data import DataArguments, documents, load_corpus, sources
from transformers_mcl.data.shards import Reading, find_shards, read_documents
from transformers_mcl.errors import UserError

TEXTS = [f"document {number} " + "é" * (number % 7) for number in range(40)]
LINES = "\ufeff" + "\n".join(TEXTS[:20]) + "\n\r\n" + "\r\n".join(TEXTS[20:])
PARAGRAPHS = "\n\n \n".join(text.replace(" ", "\n", 1) for text in TEXTS) + "\n\n\n"


def jsonl(texts: list[Any]) -> str:
    return "\n".join(json.dumps({"n": n, "text": text}) for n, text in enumerate(texts))


def write(folder: Path, name: str) -> Path:
    path = folder / name
    if name == "array.json":
        path.write_text(json.dumps([{"text": text} for text in TEXTS]))
    elif name == "table.csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["n", "text"], *([n, text] for n, text in enumerate(TEXTS))])
    elif name == "table.parquet":
        pq.write_table(pa.table({"n": range(42), "text": [None, *TEXTS, " "]}), path, row_group_size=9)
    elif name == "saved":
        Dataset.from_dict({"text": [*TEXTS, ""], "n": list(range(41))}).save_to_disk(path)
    else:
        text = {"lines": LINES, "paragraphs": PARAGRAPHS, "rows": jsonl([None, *TEXTS, ""])}[name.split(".")[0]]
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


NAMES = ["lines.txt", "lines.txt.gz", "paragraphs.txt", "paragraphs.txt.gz", "rows.jsonl", "rows.jsonl.gz"]
NAMES += ["array.json", "table.csv", "table.parquet", "saved"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 23, 1 << 20])
def test_shards_hold_each_document_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, length: int
) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", length)
    monkeypatch.setattr(documents, "_ROWS_A_SHARD", min(length, 1000))
    path = str(write(tmp_path, name))
    how = Reading(separator="line" if name.startswith("lines") else "auto")
    source: dict[str, Any] = {"dataset_name": path} if name == "saved" else {"train_file": [path]}
    args = DataArguments(**source, document_separator=how.separator)  # type: ignore[arg-type]
    found = find_shards(args)["train"]
    texts = [text for shard in found for text in read_documents(shard, how)]
    assert [text.strip() for text in texts] == [text.strip() for text in TEXTS]
    if length == 23 and name in ("lines.txt", "paragraphs.txt", "rows.jsonl", "table.parquet", "saved"):
        assert len(found) > 1


def test_documents_are_those_of_the_cached_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 31)
    folder = tmp_path / "all"
    folder.mkdir()
    for name in NAMES[:-1]:
        if not name.startswith("lines"):
            write(folder, name)
    args = DataArguments(train_file=[str(folder)], validation_file=[str(folder / "rows.jsonl")])
    cached = load_corpus(args, cache_dir=str(tmp_path / "cache"))["train"]["text"]
    streamed = [text for shard in find_shards(args)["train"] for text in read_documents(shard, Reading())]
    assert streamed == cached[:]


def test_files_elsewhere_are_read_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/far/a.jsonl", jsonl(TEXTS).encode())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": TEXTS}), sink, row_group_size=9)
    memory.pipe("/far/b.parquet", sink.getvalue().to_pybytes())

    class Builder:
        class config:
            data_files = {"train": ["memory://far/a.jsonl", "memory://far/b.parquet"], "test": ["memory://x"]}

    monkeypatch.setattr(sources, "load_dataset_builder", lambda *_, **__: Builder)
    found = find_shards(DataArguments(dataset_name=["someone/texts"]))
    assert list(found) == ["train"]
    assert [text for shard in found["train"] for text in read_documents(shard, Reading())] == TEXTS * 2


BROKEN = {
    "cut.txt.gz": (gzip.compress(LINES.encode())[:-9], "damaged compressed file"),
    "latin.txt": (LINES.encode() + b"\ncaf\xe9\n", "line 42: byte 0xe9 is not UTF-8"),
    "cut.jsonl": (jsonl(TEXTS).encode()[:-5], "line 40: not JSON at character 51"),
    "other.jsonl": (jsonl([*TEXTS, 7]).encode(), "line 41: column 'text' holds 7, not text"),
    "list.jsonl": (jsonl(TEXTS).encode() + b"\n[1]", "line 41: no JSON object, but .1."),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_shard_is_named_when_it_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 100)
    (tmp_path / name).write_bytes(BROKEN[name][0])
    args = DataArguments(train_file=[str(tmp_path / name)], document_separator="line", text_errors="strict")
    texts: list[str] = []
    with pytest.raises(UserError, match=BROKEN[name][1]) as error:
        for shard in find_shards(args)["train"]:
            texts += read_documents(shard, Reading.of(args))
    assert name in str(error.value) and "\n" not in str(error.value)
    assert len(texts) > 30 or name == "cut.txt.gz"


def test_a_broken_parquet_file_and_a_missing_column_are_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "table.parquet")
    with pytest.raises(UserError, match="no column 'body'"):
        find_shards(DataArguments(train_file=[str(path)], text_column="body"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="table.parquet': not parquet, or damaged"):
        find_shards(DataArguments(train_file=[str(path)]))


def test_an_empty_shard_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text("some text\n")
    (tmp_path / "b.txt").touch()
    import logging

    logger = logging.getLogger("transformers_mcl.data.files")
    logger.addHandler(caplog.handler)
    try:
        found = find_shards(DataArguments(train_file=[str(tmp_path)]))
    finally:
        logger.removeHandler(caplog.handler)
    assert [Path(shard.path).name for shard in found["train"]] == ["a.txt"]
    assert "b.txt' is empty: it is skipped" in caplog.text
    with pytest.raises(UserError, match=r"b\.txt' is empty"):
        find_shards(DataArguments(train_file=[str(tmp_path / "b.txt")]))
