from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers_mcl.data.rows import BadRow, MissingColumn, is_one_value, lines, read_arrow_table, read_rows


def rows(kind: str, content: bytes, **part: Any) -> list[Any]:
    return list(read_rows(io.BytesIO(content), kind, **part))


def test_only_ends_of_lines_end_lines() -> None:
    text = "\ufeffone\x0b\x0c\x1c\x85\u2028still\r\ntwo\rthree\n\nfive"
    found = [line for _, line in lines(io.BytesIO(text.encode()))]
    assert found == ["one\x0b\x0c\x1c\x85\u2028still", "two", "three", "", "five"]


@pytest.mark.parametrize("stop", range(1, 12))
def test_parts_of_a_file_hold_each_line_once(stop: int) -> None:
    content = b"a\nbc\r\n\nde\n\nf"
    file = io.BytesIO(content)
    begin, end = list(lines(file, 0, stop)), list(lines(file, stop, len(content)))
    assert begin + end == list(lines(io.BytesIO(content)))


def test_csv() -> None:
    content = b'\xef\xbb\xbfid,text\r\n1,"two\nlines, ""quoted"""\r\n\r\n2,a"b\r\n'
    assert rows("csv", content) == [
        (("line", 2), {"id": "1", "text": 'two\nlines, "quoted"'}),
        (("line", 5), {"id": "2", "text": 'a"b'}),
    ]
    assert rows("csv", b"text\n" + b"x" * 200_000 + b"\n")[0][1]["text"] == "x" * 200_000
    assert rows("csv", b"text\n\n" + b'""\n') == [], "one column: neither a blank line nor an empty field is text"


def test_tsv_has_no_quoting() -> None:
    content = b'id\ttext\n1\t"one unbalanced\n2\ttwo\n3\tthree "x" y\n'
    assert [row["text"] for _, row in rows("tsv", content)] == ['"one unbalanced', "two", 'three "x" y']


@pytest.mark.parametrize(
    ("kind", "content", "where", "reason"),
    [
        ("csv", b"id,text\n1,one, more\n2,two\n", 2, "row 2 has 3 fields where the header has 2"),
        ("csv", b'id,text\n1,"a\nb"\n2\n', 4, "row 3 has 1 field where the header has 2"),
        ("csv", b'id,text\n1,one\n2,"two\n3,three\n', 3, "a quoted field is never closed"),
        ("csv", b'id,text\n1,"one" more\n', 2, "not CSV"),
        ("csv", b"text,text\na,b\n", 1, "names the column 'text' twice"),
        ("csv", b"text\na\0b\n", 2, "a NUL byte"),
        ("tsv", b"id\ttext\n1\ta\tb\n", 2, "row 2 has 3 fields where the header has 2"),
        ("json", b'{"text": "a"}\n\n{"text": "b",}\n', 3, "not JSON at character 14"),
        ("json", b'{"text": "a"\n{"text": "b"}\n', 2, "not JSON at character 1"),
        ("json", b'[\n {"text": "a"},\n {"text": }\n]\n', 3, "not JSON at character 11"),
        ("json", b'{"text": "a"}\n[1]\n', 2, r"no JSON object, but \[1\]"),
        ("json", b'{"text": "a", "x": ' + b"[" * 100_000, 1, "nested too deep"),
        ("json", b'{"text": "a\0b"}\n', 1, "a NUL byte"),
    ],
)
def test_bad_rows(kind: str, content: bytes, where: int, reason: str) -> None:
    with pytest.raises(BadRow, match=reason) as error:
        rows(kind, content)
    assert error.value.where == ("line", where)


@pytest.mark.parametrize(
    "content",
    [b'{"text": "a"}\n{"text": "b"}', b'[{"text": "a"},\n{"text": "b"}]', b'\n [ {"text":\n"a"},{"text": "b"}]'],
)
def test_json_lines_and_lists(content: bytes) -> None:
    assert [row for _, row in rows("json", content)] == [{"text": "a"}, {"text": "b"}]


def test_one_object_over_several_lines_is_a_row() -> None:
    content = json.dumps({"text": "a", "n": [1, 2]}, indent=1).encode()
    assert rows("json", content) == [(("row", 1), {"text": "a", "n": [1, 2]})]
    assert is_one_value(content) and is_one_value(b" [1")
    assert not is_one_value(b'{"text": "a"}\n{"text": "b"}') and not is_one_value(b'{"text": }\n{"text": "b"}')


def test_numbers_of_other_columns_may_be_of_any_length() -> None:
    assert rows("json", b'{"text": "a", "n": ' + b"1" * 5000 + b"}")[0][1]["text"] == "a"


TABLE = pa.table({"n": range(5), "meta": [{"text": str(n), "x": n} for n in range(5)], "text": list("abcde")})


def stored(kind: str, table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(table, sink, row_group_size=2)
    else:
        with (pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_columnar_files(kind: str) -> None:
    content, kind = stored(kind, TABLE), "parquet" if kind == "parquet" else "arrow"
    assert rows(kind, content) == [(("row", n + 1), row) for n, row in enumerate(TABLE.to_pylist())]
    assert [row for _, row in rows(kind, content, column="text")] == [{"text": letter} for letter in "abcde"]
    assert [row["meta"]["text"] for _, row in rows(kind, content, column="meta.text")] == list("01234")
    part = {"start": 1, "stop": 2} if kind == "parquet" else {"start": 2, "stop": 4}
    assert rows(kind, content, column="text", **part) == [(("row", 3), {"text": "c"}), (("row", 4), {"text": "d"})]
    with pytest.raises(MissingColumn) as error:
        rows(kind, content, column="meta.body")
    assert error.value.columns == ["n", "meta", "text"]
    assert read_arrow_table(io.BytesIO(content), kind).to_pylist() == TABLE.to_pylist()


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_bytes_that_are_not_utf8_in_columnar_files(kind: str) -> None:
    texts = _unchecked([b"caf\xe9", b"ok"])
    content = stored(kind, pa.table({"text": texts, "more": pa.array([["a"], None])}))
    found = [row for _, row in rows("parquet" if kind == "parquet" else "arrow", content)]
    assert found == [{"text": "caf\udce9", "more": ["a"]}, {"text": "ok", "more": None}]


def _unchecked(texts: list[bytes]) -> pa.Array:
    """As strings, which Arrow would refuse."""
    binary = pa.array(texts, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(texts), binary.buffers())
