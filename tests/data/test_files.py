from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.launching import posix_only
from transformers_mcl.data import files
from transformers_mcl.data.files import find_files
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


@posix_only
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
