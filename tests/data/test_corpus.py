from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from transformers_mcl.data import DataArguments, documents, load_corpus
from transformers_mcl.errors import UserError

LINES = "one\n\n \ttwo \nthree\n"  # lines; and, the blank line in its middle taken for a separator, two documents


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write bytes or text, compressed if the name says so; the path."""

    def write(name: str, content: str | bytes) -> str:
        content = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return write


def read(tmp_path: Path, **values: Any) -> dict[str, list[str]]:
    """The documents of both splits."""
    splits = load_corpus(DataArguments(**values), cache_dir=str(tmp_path / "cache"))
    assert list(splits) == ["train", "validation"]
    assert all(split.column_names == ["text"] for split in splits.values())
    return {name: list(split["text"]) for name, split in splits.items()}


@pytest.fixture
def held_out(write: Any) -> str:
    path: str = write("held_out.txt", "held\nout\n")
    return path


def jsonl(*texts: Any) -> str:
    return "".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("name", "content", "documents"),
    [
        ("a.txt", "one\ntwo three\n", ["one", "two three"]),
        ("a.txt", "\ufeffone\r\ntwo\r\n", ["one", "two"]),
        ("a.text.gz", "one\ntwo", ["one", "two"]),
        ("a", "one\ntwo", ["one", "two"]),
        ("a.txt", "\n\none\ntwo\n\n\n", ["one", "two"]),  # blank lines, but none between two lines of text
        ("a.txt", "\none\n  two\n\nthree\nfour\n\n\n\nfive", ["one two", "three four", "five"]),
        ("a.txt.gz", "one\r\ntwo\r\n\r\nthree", ["one two", "three"]),
        ("a.md", "one\n \t\ntwo\nthree\n", ["one", "two three"]),  # a line of spaces is a blank line
        ("a.jsonl", jsonl("one\n\ntwo", "", " ", None, "three"), ["one\n\ntwo", "three"]),
        ("a.json.gz", jsonl("one", "two"), ["one", "two"]),
        ("a.json", json.dumps([{"text": "one"}, {"text": "two"}], indent=1), ["one", "two"]),
        ("a.csv", 'id,text\n1,"one, two"\n2,\n3,004\n4,NA\n', ["one, two", "004", "NA"]),
        ("a.tsv.gz", "text\tid\none, two\t1\nthree\t2\n", ["one, two", "three"]),
    ],
)
def test_documents(tmp_path: Path, write: Any, held_out: str, name: str, content: str, documents: list[str]) -> None:
    found = read(tmp_path, train_file=[write(name, content)], validation_file=[held_out])
    assert found == {"train": documents, "validation": ["held", "out"]}


@pytest.mark.parametrize(
    ("separator", "documents"), [("line", ["one", " \ttwo ", "three"]), ("blank_line", ["one", "two three"])]
)
def test_document_separator(tmp_path: Path, write: Any, held_out: str, separator: str, documents: list[str]) -> None:
    values = {"train_file": [write("a.txt", LINES)], "validation_file": [held_out]}
    assert read(tmp_path, **values, document_separator=separator)["train"] == documents


def test_the_separator_that_was_chosen_is_told(tmp_path: Path, write: Any, held_out: str) -> None:
    paths = [write("a.txt", "a\nb"), write("b.txt", "a\n\nb"), write("c.txt", "a\n\nb"), write("d.jsonl", jsonl("a"))]
    args = DataArguments(train_file=paths, validation_file=[held_out])
    assert load_corpus(args, cache_dir=str(tmp_path))["train"].info.description == (
        f"{paths[0]}: one document a line; 2 files: documents between blank lines; "
        f"{paths[3]}: json, one document a row"
    )


def test_parquet_of_several_columns(tmp_path: Path, held_out: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, 2], "body": pa.array(["one", "two"], pa.large_string())}), path)
    assert read(tmp_path, train_file=[str(path)], validation_file=[held_out], text_column="body")["train"] == [
        "one",
        "two",
    ]


def test_files_of_several_kinds_and_columns(tmp_path: Path, write: Any, held_out: str) -> None:
    paths = [
        write("a[1].txt", "one\n\ntwo\n"),
        write("b.jsonl", '{"text": "three", "id": 1}\n'),
        write("c.jsonl", '{"source": "x", "text": "four"}\n'),  # another column than the file before it
        write("d.txt", "five\nsix\n"),
    ]
    found = read(tmp_path, train_file=paths, validation_file=[held_out], preprocessing_num_workers=2)
    assert sorted(found["train"]) == sorted(["one", "two", "three", "four", "five", "six"])


def test_datasets_in_directories(tmp_path: Path, write: Any) -> None:
    saved = Dataset.from_dict({"text": ["one", "two", "three"], "n": [1, 2, 3]})
    saved.save_to_disk(tmp_path / "one")
    DatasetDict(train=saved, validation=saved.select([0]), test=saved).save_to_disk(tmp_path / "two")
    write("three/train.txt", "one\n\ntwo\n")
    write("three/validation.txt", "three\n")
    before = {path for name in ("one", "two", "three") for path in (tmp_path / name).rglob("*")}
    found = read(tmp_path, dataset_name=str(tmp_path / "one"))
    assert sorted(found["train"] + found["validation"]) == ["one", "three", "two"] and len(found["train"]) == 2
    assert read(tmp_path, dataset_name=str(tmp_path / "two")) == {
        "train": ["one", "two", "three"],
        "validation": ["one"],
    }
    assert read(tmp_path, dataset_name=str(tmp_path / "three")) == {"train": ["one", "two"], "validation": ["three"]}
    # A dataset may be shared, or read-only: nothing is cached in it.
    assert {path for name in ("one", "two", "three") for path in (tmp_path / name).rglob("*")} == before


def test_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_out: str) -> None:
    table = Dataset.from_dict({"n": [1, 2, 3], "body": ["one", "", "three"]})
    DatasetDict(train=table, validation=table.select([0]), test=table).save_to_disk(tmp_path / "downloaded")
    asked = []

    def load_dataset(*names: Any, cache_dir: str, token: str | None) -> Any:
        asked.append(names)
        return DatasetDict.load_from_disk(tmp_path / "downloaded")

    monkeypatch.setattr("transformers_mcl.data.corpus.load_dataset", load_dataset)
    values = {"dataset_name": "some/name", "dataset_config_name": "en", "text_column": "body"}
    assert read(tmp_path, **values) == {"train": ["one", "three"], "validation": ["one"]}
    assert asked == [("some/name", "en")]
    assert read(tmp_path, **values, validation_file=[held_out])["validation"] == ["held", "out"]
    with pytest.raises(UserError, match="row 1: column 'n' holds 1, not text"):
        read(tmp_path, **values | {"text_column": "n"})


def test_held_out_documents(tmp_path: Path, write: Any) -> None:
    documents = [f"document {number}" for number in range(200)]
    args = DataArguments(train_file=[write("a.txt", "\n".join(documents))], validation_split_percentage=10)
    splits = [load_corpus(args, cache_dir=str(tmp_path / "cache"), seed=seed) for seed in (0, 0, 1)]
    first, again, other = [{name: list(split["text"]) for name, split in splits_.items()} for splits_ in splits]
    assert len(first["validation"]) == 20
    assert set(first["train"]).isdisjoint(first["validation"])
    assert sorted(first["train"] + first["validation"], key=documents.index) == documents
    assert all(split == sorted(split, key=documents.index) for split in first.values())  # order is kept
    assert again == first and other["validation"] != first["validation"]


def test_held_out_is_never_empty_nor_all(tmp_path: Path, write: Any) -> None:
    path = write("a.txt", "one\ntwo\n")
    for percentage in (0.1, 99):
        found = read(tmp_path, train_file=[path], validation_split_percentage=percentage)
        assert len(found["train"]) == len(found["validation"]) == 1
    with pytest.raises(UserError, match=r"single document \(.*one\.txt: .*validation_file"):
        read(tmp_path, train_file=[write("one.txt", "one\n")])


# Longer than the 10 MB that datasets reads at a time.
DEEP = (b"x" * 9_999 + b"\n") * 1_200, jsonl("x" * 9_975).encode() * 1_200
BAD = [
    ("a.txt", DEEP[0] + b"\xff", "a.txt', line 1201: byte 0xff is not UTF-8"),
    ("a.txt.gz", b"one\n\ncaf\xe9 two", "a.txt.gz', line 3: byte 0xe9 is not UTF-8"),
    ("a.jsonl", DEEP[1] + b'{"text": "\xe9"}\n', "a.jsonl', line 1201: byte 0xe9 is not UTF-8"),
    ("a.csv", b"text\none\ncaf\xe9\n", "a.csv', line 3: byte 0xe9 is not UTF-8"),
    ("a.jsonl", b'{"text": "half \\ud83d"}\n', r"a.jsonl', line 1: \\ud83d is half a surrogate"),
    ("a.jsonl", b'{"text": "one"}\n{"text": }\n', "a.jsonl', line 2: not JSON at character 10"),
    ("a.jsonl", jsonl({"a": 1}).encode(), "a.jsonl', line 1: column 'text' holds {'a': 1}, not text"),
    ("a.jsonl", jsonl(7).encode(), "a.jsonl', line 1: column 'text' holds 7, not text"),
    ("a.csv", b"body,n\none,1\n", "text_column: '.*a.csv' has no column 'text', only body, n"),
    ("a.csv", b"id,text\n1,one, more\n2,two\n", "a.csv', line 2: row 2 has 3 fields where the header has 2"),
    ("a.parquet", b"PAR1 and nothing else", "a.parquet': not parquet, or damaged"),
    ("a.tar", b"\x80\x81", "a.tar': damaged compressed file: truncated header"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[f"{name}-{text}" for name, _, text in BAD])
@pytest.mark.parametrize("good", [False, True])
def test_bad_files(  # a bad file alone, or after a good one of its kind
    tmp_path: Path, write: Any, held_out: str, caplog: Any, name: str, content: bytes, message: str, good: bool
) -> None:
    extension = name.removesuffix(".gz").removeprefix("a")
    texts = {".txt": "good\n", ".jsonl": jsonl("good"), ".csv": "text\ngood\n"}
    before = [write(f"good{extension}", texts[extension])] if good and extension in texts else []
    with pytest.raises(UserError, match=message) as caught:
        files = [*before, write(name, content)]
        read(tmp_path, train_file=files, validation_file=[held_out], text_errors="strict")
    assert "\n" not in str(caught.value) and not caplog.records


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b" \n\n\t\n", "no text in '.*a.txt'$"),
        ("a.jsonl", b"\n\n", "no text in '.*a.jsonl'$"),
        ("a.jsonl", b'{"text": ""}\n{"text": null}', "no text in '.*a.jsonl'$"),
        ("a.jsonl", b'{"text": "one"}\n{"text": 7}\n', "a.jsonl', line 2: column 'text' holds 7, not text"),
    ],
)
def test_files_without_text(
    tmp_path: Path, write: Any, held_out: str, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, train_file=[write(name, content)], validation_file=[held_out])


def test_damaged_gzip_and_parquet_of_another_type(tmp_path: Path, write: Any, held_out: str) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(jsonl(*map(str, range(1000))).encode())[:-9])
    with pytest.raises(UserError, match="cut.jsonl.gz': damaged compressed file"):
        read(tmp_path, train_file=[str(cut)], validation_file=[held_out])
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a.parquet', row 1: column 'text' holds 1, not text"):
        read(tmp_path, train_file=[str(tmp_path / "a.parquet")], validation_file=[held_out])


def test_bad_datasets(tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Dataset.from_dict({"text": ["one"]}).save_to_disk(tmp_path / "saved" / "x")
    DatasetDict(test=Dataset.from_dict({"text": ["one"]})).save_to_disk(tmp_path / "tests")
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, message in {
        "savd": "'savd' is no directory here, and the Hub gave no dataset: .*did you mean 'saved'?",
        "nobody/nothing": "'nobody/nothing' is no directory here",
        "tests": "'tests' has no split 'train', only test",
        "nothing": "'nothing' cannot be read as a dataset",
        write("file.txt", "one\n"): "file.txt' is a file; give it as train_file",
    }.items():
        with pytest.raises(UserError, match=f"dataset_name: .*{message}") as caught:
            read(tmp_path, dataset_name=name)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="give train_file or dataset_name"):
        read(tmp_path)


def test_a_changed_file_is_read_again(tmp_path: Path, write: Any, held_out: str) -> None:
    values = {"train_file": [write("a.txt", "one\n")], "validation_file": [held_out]}
    assert read(tmp_path, **values)["train"] == ["one"]
    write("a.txt", "two\n")
    assert read(tmp_path, **values)["train"] == ["two"]


def test_a_file_changed_but_for_its_size_and_time_is_read_again_only_if_asked(
    tmp_path: Path, write: Any, held_out: str
) -> None:
    values = {"train_file": [write("a.txt", "one\n")], "validation_file": [held_out]}
    assert read(tmp_path, **values)["train"] == ["one"]
    time = os.stat(values["train_file"][0]).st_mtime_ns
    os.utime(write("a.txt", "two\n"), ns=(time, time))
    assert read(tmp_path, **values)["train"] == ["one"]
    assert read(tmp_path, **values, overwrite_cache=True)["train"] == ["two"]
    assert read(tmp_path, **values)["train"] == ["two"]


@pytest.mark.parametrize("values", [{"text_errors": "skip"}, {"document_separator": "file"}, {"file_format": "csv"}])
def test_another_way_of_reading_reads_again(tmp_path: Path, write: Any, values: dict[str, str]) -> None:
    path = write("a.txt", b"text\nn\xff\n")
    plain = {"train_file": [path], "validation_file": [path]}
    assert read(tmp_path, **plain)["train"] == ["text", "n\ufffd"]
    expected = {"skip": ["text"], "file": ["text\nn\ufffd"], "csv": ["n\ufffd"]}[next(iter(values.values()))]
    assert read(tmp_path, **plain, **values)["train"] == expected


def test_several_workers_keep_the_order(
    tmp_path: Path, write: Any, held_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 50)
    paths = [write("b.txt", "\n".join(f"b{n}" for n in range(100))), write("a.jsonl", jsonl(*map(str, range(100))))]
    found = read(tmp_path, train_file=paths, validation_file=[held_out], preprocessing_num_workers=3)
    assert found["train"] == [f"b{n}" for n in range(100)] + [str(n) for n in range(100)]
    with pytest.raises(UserError, match="line 61: column 'text' holds 7, not text"):
        paths.append(write("c.jsonl", jsonl(*map(str, range(60)), 7)))
        read(tmp_path, train_file=paths, validation_file=[held_out], preprocessing_num_workers=3)


def test_an_empty_file_among_others_is_left_out(tmp_path: Path, write: Any, held_out: str) -> None:
    paths = [write("a.txt", ""), write("b.txt", "one\n")]
    assert read(tmp_path, train_file=paths, validation_file=[held_out])["train"] == ["one"]
