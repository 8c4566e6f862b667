"""Random documents in every form and compression: both paths read what was written, document by document."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import BertTokenizer

from transformers_mcl.data import (
    DataArguments,
    DataCollatorForMcl,
    StreamLoader,
    documents,
    load_corpus,
    load_stream,
    streaming,
)
from transformers_mcl.data.shards import Reading, find_shards, read_documents

LETTERS = "aZ09 .,;:'\"`\\/{}[]<>#%&|\t  "
LETTERS += "éßñ\u00a0\u0130ıçğ हिन्दी ภาษาไทย 漢字 العربية 😀 \u200b\ufeff\ufffd\u2028\u2029\x0b\x0c\x1c\x85"
FORMS = ["txt", "txt-crlf", "txt-cr", "paragraphs", "jsonl", "ndjson", "json", "csv", "tsv", "parquet", "arrow"]
COMPRESSIONS = ["", "gz", "bz2", "xz", "zst", "zip", "tar", "tar.gz"]


def random_text(draws: random.Random, letters: str) -> str:
    """With something to see at its beginning and end, so that no form may strip it."""
    inside = "".join(draws.choice(letters) for _ in range(draws.choice([0, 1, 7, 40, 300])))
    return f"{draws.choice('aé漢ह😀')}{inside}{draws.choice('zßไ字')}"


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


def packed(content: bytes, name: str, compression: str) -> bytes:
    if compression == "zip":
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"folder/{name}", content)
        return sink.getvalue()
    if compression.startswith("tar"):
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as archive:
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return packed(sink.getvalue(), name, compression[4:])
    packers: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    return {"": bytes, "zst": zst, **packers}[compression](content)


def table(texts: list[Any]) -> pa.Table:
    """The text, and a column before and after it."""
    return pa.table(
        {"id": range(len(texts)), "text": texts, "other": [None if n % 3 else "x" for n in range(len(texts))]}
    )


def content(form: str, texts: list[str], draws: random.Random) -> bytes:
    if form.startswith("txt"):
        end = {"txt": "\n", "txt-crlf": "\r\n", "txt-cr": "\r"}[form]
        text = "".join(text + end * draws.choice([1, 1, 3]) for text in texts)
        return (draws.choice(["", "\ufeff"]) + text).encode()
    if form == "paragraphs":
        return (
            "\n\n \t\n".join(text.replace(" ", "\n \t", 1) for text in texts) + draws.choice(["", "\n\n"])
        ).encode()
    if form in ("jsonl", "ndjson"):
        lines = [json.dumps({"id": n, "text": text}, ensure_ascii=n % 2 == 0) for n, text in enumerate(texts)]
        return "\n".join(lines).encode()
    if form == "json":
        return json.dumps([{"text": text} for text in texts], indent=draws.choice([None, 1])).encode()
    if form == "csv":
        sink = io.StringIO(newline="")
        # A writer that ends lines with \n leaves a \r unquoted by itself.
        how: Any = draws.choice([{"lineterminator": "\n", "quoting": csv.QUOTE_ALL}, {"lineterminator": "\r\n"}])
        fields = [["id", "text", ""], *([str(n), text, ""] for n, text in enumerate(texts))]
        csv.writer(sink, **how).writerows(fields)
        return sink.getvalue().encode("utf-8-sig")
    if form == "tsv":
        return "".join(f"{n}\t{text}\n" for n, text in enumerate(["text", *texts])).encode()
    sink = pa.BufferOutputStream()
    if form == "parquet":
        pq.write_table(table(texts), sink, row_group_size=draws.choice([1, 7, 1000]))
    else:
        writer = draws.choice([pa.ipc.new_stream, pa.ipc.new_file])
        with writer(sink, table(texts).schema) as file:
            file.write_table(table(texts), max_chunksize=draws.choice([1, 7, 1000]))
    return sink.getvalue().to_pybytes()


def letters_of(form: str) -> str:
    """Those that a form can hold inside a text."""
    if form in ("jsonl", "ndjson", "json", "csv", "parquet", "arrow"):
        return LETTERS + "\n\r"
    if form == "tsv":
        return LETTERS.replace("\t", "")
    if form == "paragraphs":
        return "".join(letter for letter in LETTERS if not letter.isspace()) + " "
    return LETTERS


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_both_paths_read_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, compression: str
) -> None:
    draws = random.Random(f"{form} {compression}")
    texts = [random_text(draws, letters_of(form)) for _ in range(60)]
    ending = {"paragraphs": "txt"}.get(form, form.split("-")[0])
    name = f"a.{ending}" + (f".{compression}" if compression else "")
    (tmp_path / name).write_bytes(packed(content(form, texts, draws), f"a.{ending}", compression))
    expected = [" ".join(map(str.strip, text.split(" ", 1))) for text in texts] if form == "paragraphs" else texts
    args = DataArguments(
        train_file=[str(tmp_path / name)],
        validation_file=[str(tmp_path / name)],
        document_separator="auto" if form == "paragraphs" else "line",
    )
    for length in (1 << 20,) if compression else (1, 97):  # what is compressed is one shard
        monkeypatch.setattr(documents, "_BYTES_A_SHARD", length)
        monkeypatch.setattr(documents, "_ROWS_A_SHARD", min(length, 17))
        found = find_shards(args)["train"]
        streamed = [text for shard in found for text in read_documents(shard, Reading.of(args))]
        assert streamed == expected, length
        if length == 97 and not compression and form not in ("json", "csv", "tsv", "txt-cr", "parquet"):
            assert len(found) > 1
    cached = load_corpus(args, cache_dir=str(tmp_path / "cache"))["train"]
    assert cached["text"][:] == expected


@pytest.mark.parametrize("form", ["txt", "paragraphs", "jsonl", "json", "csv", "tsv", "parquet", "arrow"])
@pytest.mark.parametrize("compression", ["", "zst", "tar.gz"])
def test_a_stream_of_every_form_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: BertTokenizer, form: str, compression: str
) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 97)
    monkeypatch.setattr(documents, "_ROWS_A_SHARD", 7)
    monkeypatch.setattr(streaming, "_CHARACTERS_A_BATCH", 20)
    draws = random.Random(form)
    texts = [" ".join(draws.choices("abcdefghijklmnopqrstuvwxyz", k=draws.randint(1, 12))) for _ in range(60)]
    ending = "txt" if form == "paragraphs" else form
    path = tmp_path / (f"a.{ending}" + (f".{compression}" if compression else ""))
    path.write_bytes(packed(content(form, texts, draws), f"a.{ending}", compression))
    args = DataArguments(train_file=[str(path)], validation_documents=5, max_seq_length=8, shuffle_buffer_size=5)

    def loader() -> StreamLoader:
        return StreamLoader(load_stream(args, letters)[0], 10**9, DataCollatorForMcl(letters), batch_size=2)

    whole = [batch["input_ids"].tolist() for batch in islice(loader(), 60)]  # more than an epoch
    before = loader()
    for taken, batch in enumerate(islice(before, 40), 1):
        assert batch["input_ids"].tolist() == whole[taken - 1]
        if taken in (3, 17, 40):
            after = loader()
            after.load_state_dict(json.loads(json.dumps(before.state_dict())))
            assert [batch["input_ids"].tolist() for batch in islice(after, 20)] == whole[taken : taken + 20]
