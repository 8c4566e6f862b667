from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import pytest

from transformers_mcl.data import files
from transformers_mcl.data.files import explain, find_files
from transformers_mcl.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "deep/c.md", ".hidden/d.txt", "_SUCCESS", "[x]*.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\n")
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b.txt", "a.txt"], ["b.txt", "a.txt"]),
        (["?.txt"], ["a.txt", "b.txt"]),
        (["**/*.md"], ["deep/c.md"]),
        (["b.txt", "*.txt", "a.txt"], ["b.txt", "[x]*.txt", "a.txt"]),
        (["[x]*.txt"], ["[x]*.txt"]),
        ([""], ["[x]*.txt", "a.txt", "b.txt", "deep/c.md"]),
        ([".hidden"], [".hidden/d.txt"]),
    ],
)
def test_find_files(folder: Path, patterns: list[str], expected: list[str]) -> None:
    assert find_files([str(folder / name) for name in patterns], "f") == [str(folder / name) for name in expected]


def test_missing_file_names_the_nearest(folder: Path) -> None:
    with pytest.raises(UserError, match=r"train_file: no such file: '.*bb\.txt'; did you mean '.*/b\.txt'\?"):
        find_files([str(folder / "bb.txt")], "train_file")
    with pytest.raises(UserError, match=r"no such file: 'nowhere/b\.txt'$"):
        find_files(["nowhere/b.txt"], "train_file")


def test_files_that_cannot_be_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "empty.txt").touch()
    with pytest.raises(UserError, match=r"validation_file: '.*empty\.txt' is empty"):
        find_files([str(folder / "empty.txt")], "validation_file")
    with pytest.raises(UserError, match="'/dev/null' is not a regular file"):
        find_files(["/dev/null"], "train_file")
    (folder / "none").mkdir()
    with pytest.raises(UserError, match="the directory '.*none' holds no files"):
        find_files([str(folder / "none")], "train_file")

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)  # whoever runs the tests may be allowed to read all
    with pytest.raises(UserError, match=r"train_file: '.*a\.txt' cannot be read: Permission denied"):
        find_files([str(folder / "a.txt")], "train_file")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
# The first two: in the last chunk, and where a chunk cuts a character. The last: the file ends inside a character.
@pytest.mark.parametrize("before", [0, files._CHUNK - 1, files._CHUNK + 1, 3 * files._CHUNK + 7])
@pytest.mark.parametrize("wrong", [b"\xe9 after", b"\xc3( after", b"\xe2\x82"])
def test_offset_of_the_byte_that_is_not_utf8(tmp_path: Path, compress: Any, before: int, wrong: bytes) -> None:
    suffix = {bytes: "", gzip.compress: ".gz", bz2.compress: ".bz2", lzma.compress: ".xz"}[compress]
    path = tmp_path / f"bad.txt{suffix}"
    path.write_bytes(compress(b"x" * before + wrong))
    message = explain(str(path), "text", ValueError())
    assert f"bad.txt{suffix}'" in message
    assert f"byte 0x{wrong[0]:02x} at offset {before}" in message
    assert ("decompressed" in message) == bool(suffix)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"text": "a"}\n\n{"text": "b",}\n', "line 3, column 14 is not JSON"),
        ('{"text": "a"\n{"text": "b"}\n', "line 2, column 1 is not JSON"),
        ('[\n {"text": "a"},\n {"text": }\n]\n', "line 3, column 11 is not JSON"),
        ('{"text": "a"}\n', "cannot be read as json: the reason"),
    ],
)
def test_line_that_is_not_json(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    assert explain(str(path), "json", ValueError("the\nreason")).startswith(f"{str(path)!r}: {reason}")


def test_damaged_compression(tmp_path: Path) -> None:
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(gzip.compress(b"text\n" * 1000)[:-9])
    assert "damaged compressed file: Compressed file ended" in explain(str(path), "text", ValueError())
