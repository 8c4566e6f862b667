from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from transformers_mcl.data.table_arguments import TableArguments
from transformers_mcl.data.tables import read_table
from transformers_mcl.errors import UserError


def read(tmp_path: Path, **files: str | bytes) -> Dataset:
    paths = [tmp_path / name.replace("_", ".") for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table([str(path) for path in paths], "train_file", str(tmp_path / "cache"))


def test_columns_of_csv_have_the_types_of_their_values(tmp_path: Path) -> None:
    found = read(tmp_path, a_csv="a,b,c,d,e,f\n1,1.5,x,,True,007\n-2,3,NA,,false,1e3\n")
    assert found.to_list() == [
        {"a": 1, "b": 1.5, "c": "x", "d": "", "e": True, "f": 7.0},
        {"a": -2, "b": 3.0, "c": "NA", "d": "", "e": False, "f": 1000.0},
    ]
    assert read(tmp_path, b_csv="a\n1\n1_0\n").to_list() == [{"a": "1"}, {"a": "1_0"}]
    tsv = 'sentence\tlabel\n"one unbalanced\t1\n"two"\t0\n'
    assert read(tmp_path, c_tsv_gz=gzip.compress(tsv.encode())).to_list() == [
        {"sentence": '"one unbalanced', "label": 1},
        {"sentence": '"two"', "label": 0},
    ]


def test_columns_of_json_may_come_late_and_drift(tmp_path: Path) -> None:
    rows = [{"a": 1, "t": ["x"], "m": 1}, {"a": 2.5, "t": [], "m": "one"}, {"a": None, "t": ["y", "z"], "new": "n"}]
    found = read(tmp_path, a_jsonl="".join(json.dumps(row) + "\n" for row in rows))
    assert found.to_list() == [
        {"a": 1.0, "t": ["x"], "m": "1", "new": None},
        {"a": 2.5, "t": [], "m": "one", "new": None},
        {"a": None, "t": ["y", "z"], "m": None, "new": "n"},
    ]


def test_bytes_that_are_not_utf8_are_replaced(tmp_path: Path) -> None:
    assert read(tmp_path, a_csv=b"a\ncaf\xe9\n")[0] == {"a": "caf\ufffd"}
    assert read(tmp_path, b_jsonl='{"a": ["half \\ud83d"]}')[0] == {"a": ["half \ufffd"]}


def test_columnar_files_keep_their_types(tmp_path: Path) -> None:
    features = Features({"s": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    Dataset.from_dict({"s": ["a", "b"], "label": [1, 0]}, features=features).to_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    for files in ({"a_parquet": content}, {"a_parquet_gz": gzip.compress(content)}):
        found = read(tmp_path, **files)
        assert found.features == features and found["label"][:] == [1, 0]


def test_the_members_of_an_archive(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name in ("a.csv", "b.csv"):
            member = tarfile.TarInfo(name)
            member.size = 8
            archive.addfile(member, io.BytesIO(b"a,b\n1,x\n"))
    assert read(tmp_path, a_tar=sink.getvalue()).to_list() == [{"a": 1, "b": "x"}] * 2


def test_an_edited_file_is_read_anew_and_another_comes_from_the_cache(tmp_path: Path) -> None:
    first = read(tmp_path, a_csv="a\n1\n")
    again = read_table([str(tmp_path / "a.csv")], "train_file", str(tmp_path / "cache"))
    assert again.cache_files == first.cache_files and first.cache_files
    assert read(tmp_path, a_csv="a\n2\n").to_list() == [{"a": 2}]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a_csv": "id,text\n1,one, more\n2,two\n"}, "a.csv', line 2: row 2 has 3 fields where the header has 2"),
        ({"a_tsv": "a\tb\n1\n"}, "a.tsv', line 2: row 2 has 1 field where the header has 2"),
        ({"a_csv": "a,a\n1,2\n"}, "a.csv', line 1: the header names the column 'a' twice"),
        ({"a_csv": "a,b\n"}, "a.csv' has no rows"),
        ({"a_txt": "one\n"}, "a.txt' and all others must be JSON .*, of one kind"),
        ({"a_csv": "a\n1\n", "b_jsonl": '{"a": 1}'}, "b.jsonl' and all others must be"),
        ({"a_jsonl": '{"a": 1}\n{"a": }\n'}, "a.jsonl', line 2: not JSON at character 7"),
        ({"a_csv": gzip.compress(b"a\n1\n")}, "a.csv' is compressed by gzip"),
        ({"a_csv_gz": gzip.compress(b"a\n1\n" * 5000)[:-9]}, "a.csv.gz': damaged compressed file"),
        ({"a_parquet": b"PAR1"}, "a.parquet': not parquet, or damaged"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, files: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^train_file: .*{message}") as error:
        read(tmp_path, **files)
    assert "\n" not in str(error.value)


def test_what_the_files_hold_may_be_said(tmp_path: Path) -> None:
    def found(content: str, name: str, file_format: Any) -> list[dict[str, Any]]:
        (tmp_path / name).write_text(content)
        how = TableArguments(file_format=file_format)
        rows: list[dict[str, Any]] = read_table([str(tmp_path / name)], "train_file", str(tmp_path), how).to_list()
        return rows

    assert found("a,b\n1,x\n", "a.txt", "csv") == [{"a": 1, "b": "x"}]
    assert found('a\tb\n1\t"x\n', "a.data", "tsv") == [{"a": 1, "b": '"x'}]
    assert found('{"a": 1}\n', "b.txt", "json") == [{"a": 1}]
    assert found("anna B\nwas O\n", "c.txt", "conll") == [{"tokens": ["anna", "was"], "ner_tags": ["B", "O"]}]
    assert found('{"a": 1}\n', "d.bio", "json") == [{"a": 1}]
    with pytest.raises(UserError, match="file_format: there is no 'jsn'; choose from auto, json.*did you mean 'json'"):
        TableArguments(file_format="jsn")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.jsonl", b'{"a": ["x"]}\n{"a": ["caf\xe9"]}\n', "line 2"),
        ("a.csv", b"a\nx\ncaf\xe9\n", "line 3"),
        ("a.conll", b"x O\n\ncaf\xe9 O\n", "line 3"),
    ],
)
def test_what_becomes_of_bytes_that_are_not_utf8(tmp_path: Path, name: str, content: bytes, place: str) -> None:
    (tmp_path / name).write_bytes(content)

    def found(text_errors: Any) -> str:
        how = TableArguments(text_errors=text_errors)
        return str(read_table([str(tmp_path / name)], "train_file", str(tmp_path), how).to_list())

    assert "caf\ufffd" in found("replace")
    assert "caf" not in found("skip") and "x" in found("skip")
    with pytest.raises(UserError, match=f"train_file: .*{name}', {place}: bytes that are not UTF-8.*--text_errors re"):
        found("strict")
