from __future__ import annotations

import gzip

import pytest

from transformers_mcl.data.forms import Form, check_head, form_of
from transformers_mcl.errors import UserError


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("a.txt", Form("text")),
        ("folder.csv/a", Form("text")),
        ("A.JSONL.GZ", Form("json", "gz")),
        ("a.ndjson", Form("json")),
        ("a.jsonlines.zst", Form("json", "zst")),
        ("a.b.tsv.xz", Form("tsv", "xz")),
        ("a.tgz", Form("tar", "gz")),
        ("a.tar.bz2", Form("tar", "bz2")),
        ("a.zip", Form("zip")),
        ("a.py", Form("text", guessed=True)),
        ("a.gz", Form("text", "gz")),
    ],
)
def test_form_by_ending(path: str, form: Form) -> None:
    assert form_of(path) == form


def test_form_that_the_user_names() -> None:
    assert form_of("a.txt.gz", "json") == Form("json", "gz")
    assert form_of("a.py", "text") == Form("text")
    assert form_of("a.tar.gz", "json") == Form("tar", "gz"), "of its members"


TEXT, GUESSED = Form("text"), Form("text", guessed=True)


@pytest.mark.parametrize(
    ("head", "form", "message"),
    [
        (gzip.compress(b"a", mtime=0), TEXT, "compressed by gzip; its name must end in .gz"),
        (gzip.compress(b"a", mtime=0), Form("json"), "compressed by gzip"),
        (b"PK\x03\x04", TEXT, "a zip archive"),
        (b"d" * 257 + b"ustar\x0000", TEXT, "a tar archive"),
        (b"PAR1\x15\x04", TEXT, "parquet; give --file_format parquet"),
        ("text".encode("utf-16"), TEXT, "UTF-16; convert it to UTF-8"),
        (b"%PDF-1.7", TEXT, "PDF"),
        (b"one\n\0two", Form("csv"), r"binary \(a NUL byte at offset 4\)"),
        ("汉字测试文本\n".encode("gbk") * 20, TEXT, "not UTF-8; convert it"),
        (b'\xef\xbb\xbf {"text": "a"}\n', TEXT, "looks like JSON, but its ending says text: give --file_format json"),
        (b'[\n {"text": "a"}]', TEXT, "looks like JSON"),
        (b'{"text": "a line that the head cuts', GUESSED, "looks like JSON"),
        (b'id,"text"\n1,a\n', TEXT, "looks like CSV.*--file_format csv, or --file_format text if it is text"),
        (b"id\ttext\n1\ta\n", TEXT, "looks like TSV"),
        (b"id\tbody\n1\ta\n2\tb\n", GUESSED, "looks like TSV"),
    ],
)
def test_what_is_no_text_is_refused(head: bytes, form: Form, message: str) -> None:
    with pytest.raises(UserError, match=f"^'a' .*{message}"):
        check_head("'a'", head, form, "text", told=False)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        "d'accord, c'est très bien\n".encode("latin-1") * 20,  # some bytes are mended
        "漢字".encode()[:-1],  # the head ends inside a character
        b"a text, with commas\nand, so, on\n",
        b"{ this is } no JSON\n",
        b"first\tsecond\n1\ta\n",  # with an ending of text, only a column of that name says otherwise
        b"\tindented\n\tcode\n\there\n",
    ],
)
def test_what_may_be_text_is_taken(head: bytes) -> None:
    check_head("'a'", head, TEXT, "text", told=False)


def test_what_the_user_says_is_believed() -> None:
    check_head("'a'", b'{"text": "a"}\n', TEXT, "text", told=True)
    with pytest.raises(UserError, match="binary"):
        check_head("'a'", b"\0", TEXT, "text", told=True)
