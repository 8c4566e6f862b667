"""What is a document, what is passed over and what is refused: the same in both paths."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers_mcl.data import DataArguments, documents, load_corpus, parts
from transformers_mcl.data.documents import Reading, divide, read_documents, read_marked
from transformers_mcl.data.shards import find_shards
from transformers_mcl.errors import UserError

Read = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The warnings; each kind is said anew in each test."""
    monkeypatch.setattr(parts, "_said", set())
    return caplog


def cached(tmp_path: Path, path: Path, **values: Any) -> list[str]:
    (tmp_path / "held-out.txt").write_text("held out", encoding="utf-8")
    held_out = path if "file_format" in values else tmp_path / "held-out.txt"  # the format is that of all files
    args = DataArguments(train_file=[str(path)], validation_file=[str(held_out)], **values)
    texts: list[str] = load_corpus(args, cache_dir=str(tmp_path / "cache"))["train"]["text"][:]
    return texts


def streamed(tmp_path: Path, path: Path, **values: Any) -> list[str]:
    args = DataArguments(train_file=[str(path)], **values)
    return [text for shard in find_shards(args)["train"] for text in read_documents(shard, Reading.of(args))]


@pytest.fixture(params=[cached, streamed])
def read(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Documents of a file with this content, by one of the paths, in shards of 100 bytes."""
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 100)

    def read(name: str, content: str | bytes, **values: Any) -> list[str]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        texts: list[str] = request.param(tmp_path, path, **values)
        return texts

    return read


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_only_the_text_column_counts(read: Read) -> None:
    late: list[dict[str, Any]] = [
        {"text": f"text {n}", "n": n if n < 30 else n / 7} | ({"new": [n]} if n > 30 else {}) for n in range(40)
    ]
    assert read("a.jsonl", jsonl(*late)) == [f"text {n}" for n in range(40)]
    null: dict[str, Any] = {"text": None, "id": 1}
    assert read("b.jsonl", jsonl(*[null] * 50, {"text": "one"}, {"id": "two", "text": "two"})) == ["one", "two"]


def test_rows_without_text_are_passed_over_and_said_once(read: Read, heard: pytest.LogCaptureFixture) -> None:
    rows: list[dict[str, Any]] = [{"text": f"text {n}"} if n % 2 else {"n": n} for n in range(40)]
    assert read("a.jsonl", jsonl(*rows, {"text": ""}, {"text": " \n"}, {"text": None}, {"text": []})) == [
        f"text {n}" for n in range(1, 40, 2)
    ]
    column, text = (record.message for record in heard.records)
    assert column.startswith("rows without the text column are passed over: ") and column.endswith("a.jsonl', line 1")
    assert text.startswith("rows without text are passed over: ") and text.endswith("a.jsonl', line 41")


def test_cached_documents_are_counted_again_from_the_cache(tmp_path: Path, heard: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl({"text": "one"}, {}, {}), encoding="utf-8")
    for _ in range(2):
        heard.clear()
        assert cached(tmp_path, path) == ["one"]
        assert "rows without the text column are passed over: 2 of 3, the first at " in heard.text


BAD = {
    "a.txt": (b"one\nca\xe9\xe2\x82f\nthree\n", "ca\ufffd\ufffdf", 2, r"byte 0xe9 is not UTF-8"),
    "p.txt": (b"one\n\nx\nca\xe9\n\nthree", "x ca\ufffd", 4, r"byte 0xe9 is not UTF-8"),
    "a.jsonl": (
        jsonl({"text": "one"}, {"text": "half \ud83d"}, {"text": "three"}),
        "half \ufffd",
        2,
        r"\\ud83d is half",
    ),
    "b.jsonl": (b'{"text": "one"}\n{"text": "\xff"}\n{"text": "three"}', "\ufffd", 2, "byte 0xff"),
    "a.csv": (b"text\none\n\xff\nthree\n", "\ufffd", 3, "byte 0xff"),
    "a.tsv": (b"text\none\n\xff\nthree\n", "\ufffd", 3, "byte 0xff"),
}


@pytest.mark.parametrize("name", BAD)
def test_text_that_is_not_utf8(read: Read, heard: pytest.LogCaptureFixture, name: str) -> None:
    content, mended, line, reason = BAD[name]
    assert read(name, content) == ["one", mended, "three"]
    assert read(name, content, text_errors="skip") == ["one", "three"]
    replaced, skipped = (record.message for record in heard.records)
    assert "replaced by U+FFFD: " in replaced and replaced.endswith(f"{name}', line {line}")
    assert "are passed over: " in skipped and skipped.endswith(f"{name}', line {line}")
    with pytest.raises(UserError, match=rf"{name}', line {line}: {reason}.*--text_errors replace or skip$"):
        read(name, content, text_errors="strict")


def test_lines_of_later_shards_are_counted_from_the_beginning(read: Read) -> None:
    with pytest.raises(UserError, match=r"line 101: byte 0xe9"):
        read("a.txt", b"a line\r\n" * 100 + b"caf\xe9\n", text_errors="strict")
    with pytest.raises(UserError, match=r"line 101: column 'text' holds 7"):
        read("a.jsonl", jsonl({"text": "one"}) * 100 + '{"text": 7}\n')


def test_bytes_of_other_columns_do_not_matter(read: Read, heard: pytest.LogCaptureFixture) -> None:
    content = b'{"text": "one", "name": "caf\xe9", "half": "\\ud83d"}\n'
    assert read("a.jsonl", content, text_errors="strict") == ["one"] and not heard.records


def test_nested_columns_and_lists_of_sentences(read: Read) -> None:
    rows: list[dict[str, Any]] = [
        {"meta": {"text": "one"}},
        {"meta": None},
        {"meta": {"n": 1}},
        {"meta": {"text": ["two.", None, "3."]}},
    ]
    assert read("a.jsonl", jsonl(*rows), text_column="meta.text") == ["one", "two. 3."]
    assert read("b.jsonl", jsonl({"meta.text": "a", "meta": {"text": "b"}}), text_column="meta.text") == ["a"]
    for name, texts in (("a", ["one", None]), ("b", [["one", "two"], []])):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"meta": [{"text": text, "n": 1} for text in texts]}), sink)
        expected = ["one"] if name == "a" else ["one two"]
        assert read(f"{name}.parquet", sink.getvalue().to_pybytes(), text_column="meta.text") == expected


def test_one_rule_says_whether_blank_lines_separate(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 100_000)
    lines = "".join(f"line {n} of the text with some words\n" for n in range(35_000))
    found = read("a.txt", lines + "\n\n".join(f"paragraph {n}\nof two lines" for n in range(100)))
    assert len(lines) > 1_200_000 and len(found) == 100
    assert found[1] == "paragraph 1 of two lines"


def test_beyond_the_limit_blank_lines_are_not_looked_for(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_SCANNED_BYTES", 100)
    assert len(read("a.txt", "a line of text\n" * 10 + "\nand\nmore\n\nlines")) == 13


def test_a_file_is_a_document(read: Read) -> None:
    assert read("a.py", "\ufeffdef f():\r\n    return 1\r\n\r\n\r\n", document_separator="file") == [
        "def f():\n    return 1"
    ]
    with pytest.raises(UserError, match="line 3: byte 0xff"):
        read("b.txt", b"one\n\n\xff", document_separator="file", text_errors="strict")


def tar(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def test_members_of_an_archive_are_read_by_their_own_endings(read: Read) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["four"]}), sink)
    files = {
        "a_jsonl": b'{"text": "one"}\n',
        "b_txt": b"two\nof it\n\nthree\n",
        "c_parquet": sink.getvalue().to_pybytes(),
        "d_csv_gz": gzip.compress(b"text\nfive\n"),
    }
    expected = ["one", "two of it", "three", "four", "five"]
    assert read("corpus.tar.gz", tar(**files)) == expected
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    assert read("corpus.zip", zipped.getvalue()) == expected


REFUSED = {
    "inside.tgz": (tar(a_txt=b"one\n", b_tar=b"x"), "member 'b.tar' is an archive in an archive"),
    "csv.tgz": (tar(a_csv=b"id,text\n1,a,b\n"), "csv.tgz', member 'a.csv', line 2: row 2 has 3 fields"),
    "binary.tgz": (tar(a_txt=b"a\0"), "member 'a.txt' is binary"),
    "cut.tar.gz": (tar(a_txt=b"one\n" * 100)[:-30], "cut.tar.gz': damaged compressed file"),
    "latin.tar": (b"\x80\x81", "latin.tar': damaged compressed file"),
    "plain.gz": (b"one\n", "plain.gz': damaged compressed file: Not a gzipped file"),
    "a.csv": ("id,text\n1,one, more\n2,two\n", "a.csv', line 2: row 2 has 3 fields where the header has 2"),
    "b.csv": ("id,body\n1,one\n", "text_column: '.*b.csv' has no column 'text', only id, body"),
    "c.csv": ("text,n\n", "no text in '.*c.csv'$"),
    "a.jsonl": (jsonl({"txt": "one"}) * 100, "text_column: '.*a.jsonl' has no column 'text', only txt; did you mean"),
    "b.jsonl": (jsonl({"text": "one"}, {"text": [1, 2]}), r"b.jsonl', line 2: column 'text' holds \[1, 2\], not text"),
    "c.json": ("[]", "no text in '.*c.json'$"),
    "d.txt": (" \n\n\t\n", "no text in '.*d.txt'$"),
    "e.txt.gz": (gzip.compress(b""), "no text in '.*e.txt.gz'$"),
    "json.txt": (jsonl({"text": "one"}), "json.txt' looks like JSON"),
    "deep.txt": (b"a line\n" * 20_000 + b"\0", "deep.txt', line 20001: a NUL byte"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(read: Read, name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as error:
        read(name, content)
    assert "\n" not in str(error.value)


def test_the_format_that_the_user_names(read: Read) -> None:
    assert read("a.txt", jsonl({"text": "one"}), file_format="json") == ["one"]
    assert read("b.txt", jsonl({"text": "one"}), file_format="text") == ['{"text": "one"}']
    assert read("c.data.gz", gzip.compress(b"id\ttext\n1\tone\n"), file_format="tsv") == ["one"]


def test_marks_stand_where_documents_do_not(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl({"text": "one"}, {}, {"text": "two"}), encoding="utf-8")
    shards = divide([str(tmp_path / "a.jsonl")], Reading())
    marked = list(read_marked(shards[0], Reading()))
    place = documents.Place(str(tmp_path / "a.jsonl"), None, "line", 2)
    assert marked == ["one", documents.Mark(None, documents.NO_COLUMN, place), "two"]
    assert list(read_documents(shards[0]._replace(skip=1), Reading())) == ["two"], "documents are skipped, no marks"
