"""No file is read or written in whatever encoding a machine happens to have."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _is_binary(call: ast.Call) -> bool:
    return re.search(r"'[rwax]b\+?'", ast.unparse(call)) is not None


def _names_a_member(call: ast.Call) -> bool:
    """As those of archives do, whose files are binary, and no path's own does."""
    mode = call.args[0] if call.args else ast.Constant("r")
    return isinstance(call.func, ast.Attribute) and (not isinstance(mode, ast.Constant) or "fileobj" in _names(call))


def _names(call: ast.Call) -> set[str | None]:
    return {keyword.arg for keyword in call.keywords}


def _is_of_a_path(call: ast.Call, most: int) -> bool:
    return isinstance(call.func, ast.Attribute) and len(call.args) <= most


# By name of a function, whether it reads or writes text in the machine's encoding unless it is given one.
_OPENS_TEXT: dict[str, Callable[[ast.Call], bool]] = {
    "open": lambda call: not _is_binary(call) and not _names_a_member(call),
    "fdopen": lambda call: not _is_binary(call),
    "read_text": lambda call: _is_of_a_path(call, 0),
    "write_text": lambda call: _is_of_a_path(call, 1),
    "TextIOWrapper": lambda call: True,
    "run": lambda call: "text=True" in ast.unparse(call),
    "Popen": lambda call: "text=True" in ast.unparse(call),
}


def without_encoding(code: str) -> Iterator[int]:
    """Lines that open a file as text and do not say how its bytes are to be read."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and "encoding" not in _names(node):
            opens = _OPENS_TEXT.get(ast.unparse(node.func).split(".")[-1])
            if opens is not None and opens(node):
                yield node.lineno


@pytest.mark.parametrize("folder", ["src", "examples"])
def test_every_file_is_opened_with_its_encoding(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert len(files) > 5
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in files
        for line in without_encoding(file.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open('a')", True),
        ("open('a', 'w')", True),
        ("open('a', mode='rb')", False),
        ("open('a', encoding='utf-8')", False),
        ("path.read_text()", True),
        ("path.write_text('a')", True),
        ("path.open('w')", True),
        ("path.open('rb')", False),
        ("archive.open(member)", False),
        ("os.fdopen(3, 'wb')", False),
        ("io.TextIOWrapper(file)", True),
        ("subprocess.run(['a'], text=True)", True),
        ("write_text(path, 'a')", False),
    ],
)
def test_what_is_found(line: str, found: bool) -> None:
    assert bool([*without_encoding(line)]) == found
