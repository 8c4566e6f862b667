from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.launching import posix_only
from tests.markup import NASTY, parsed
from transformers_mcl.errors import Interrupted, UserError
from transformers_mcl.io import (
    at_sigterm,
    atomic_folder,
    check_room,
    files_into,
    is_disk_full,
    load_json,
    markdown_code,
    markdown_table,
    markdown_text,
    nearest_path,
    one_line,
    printable,
    read_json,
    to_disk,
    versions,
    whole_file,
    without_secrets,
    write_json,
    write_text,
)


def test_the_folder_appears_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "soup"
    with atomic_folder(folder) as draft:
        (draft / "file").write_text("x")
        assert not folder.exists() and draft.parent == folder.parent
    assert [path.name for path in folder.parent.iterdir()] == ["soup"] and (folder / "file").exists()
    other = tmp_path / "made by mkdir"
    other.mkdir()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "soup").mkdir()
    with atomic_folder(tmp_path / "soup") as draft:
        (draft / "file").write_text("x")
    assert (tmp_path / "soup" / "file").exists()


def test_what_stood_there_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "old", "x")
    write_text(tmp_path / "out" / "new", "before")
    with pytest.raises(RuntimeError, match="on the way"), atomic_folder(tmp_path / "out", replace=True):
        raise RuntimeError("on the way")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "old", "out"]
    with atomic_folder(tmp_path / "out", replace=True) as draft:
        (draft / "new").touch()
        assert (tmp_path / "out" / "new").read_text() == "before"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "old", "out"]  # what it does not know stays
    assert (tmp_path / "out" / "new").read_text() == "" and (tmp_path / "out" / "old").read_text() == "x"


def test_what_stood_there_stays_where_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "out" / "old", "x")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self), None, str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(UserError, match="output_dir '.*/out' cannot be written: .*Operation not permitted"):
        with atomic_folder(tmp_path / "out", replace=True):
            pass
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError, "the disk is full: nothing was written into"),
        (OSError(errno.ENOENT, "gone"), OSError, "gone"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_nothing_is_left_of_what_failed(
    tmp_path: Path, error: BaseException, raised: type[BaseException], message: str
) -> None:
    with pytest.raises(raised, match=message), atomic_folder(tmp_path / "soup") as draft:
        (draft / "file").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


@posix_only
def test_sigterm_leaves_nothing(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM: nothing was written into .*soup"):
        with atomic_folder(tmp_path / "soup") as draft:
            (draft / "file").write_text("x")
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:  # as libraries have it, which must not hold it up
                pass
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is before


@posix_only
def test_sigterm_ends_forked_processes() -> None:
    """Or a pool of `datasets`, which ends its workers so, would wait for them without end."""
    with at_sigterm(lambda *_: None):
        read, write = os.pipe()
        if not (child := os.fork()):
            os.write(write, b".")
            signal.pause()
            os._exit(0)
        os.read(read, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="output_dir .* cannot be made: "), atomic_folder(tmp_path / "file" / "soup"):
        pass


def test_there_must_be_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    check_room(tmp_path / "not" / "yet", 10**9, "the soup")
    with pytest.raises(UserError, match="the soup takes 2.00 GB, and its disk has 1.00 GB left"):
        check_room(tmp_path / "not" / "yet", 2 * 10**9, "the soup")


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"b": "ä", "a": [1]})
    assert path.read_text() == '{\n  "b": "\\u00e4",\n  "a": [\n    1\n  ]\n}\n'
    write_json(path, {"b": 1, "a": 2}, indent=None, sort_keys=True)
    assert path.read_text() == '{"a": 2, "b": 1}\n'
    write = Path.write_text

    def half(self: Path, text: str, **kwargs: str) -> None:
        write(self, text[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "longer than three")
    assert [one.name for one in path.parent.iterdir()] == ["file.json"] and path.read_text() == '{"a": 2, "b": 1}\n'


def test_a_full_disk_is_known_by_what_it_led_to() -> None:
    full = OSError(errno.EDQUOT, "too much")
    assert is_disk_full(full) and is_disk_full(RuntimeError("PytorchStreamWriter failed writing file"))
    try:
        raise ValueError("of another name") from full
    except ValueError as error:
        assert is_disk_full(error)
    assert not is_disk_full(OSError(errno.ENOENT, "gone"))


def test_one_line_is_the_innermost_cause() -> None:
    try:
        raise RuntimeError("outside") from ValueError("many\n  words")
    except RuntimeError as error:
        assert one_line(error) == "many words"
    assert one_line(KeyError()) == "KeyError" and len(one_line(ValueError("ab " * 100))) <= 200


def test_the_nearest_path(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").touch()
    assert nearest_path(str(tmp_path / "corpsu.txt")) == f"; did you mean {str(tmp_path / 'corpus.txt')!r}?"
    assert nearest_path(str(tmp_path / "x")) == nearest_path(str(tmp_path / "corpus.txt")) == ""


def test_a_table() -> None:
    head, rows = ["", "of", "a"], [["x|y", "1\n2", ""], ["z", "3", "4"]]
    assert markdown_table(head, rows).splitlines() == [
        "|  | of | a |",
        "| --- | ---: | ---: |",
        "| x&#124;y | 1 2 |  |",
        "| z | 3 | 4 |",
    ]
    assert markdown_table(head, [], "lcr").splitlines()[1] == "| --- | :---: | ---: |"


def test_versions_are_of_what_is_installed() -> None:
    assert list(versions()) == ["transformers-mcl", "transformers", "torch"]
    assert versions("torch") == {"torch": metadata.version("torch")}


def test_files_come_into_a_folder_together(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("kept", "old"):
        (tmp_path / "out" / name).write_text("before")
    with pytest.raises(RuntimeError), files_into(tmp_path / "out") as draft:
        (draft / "old").write_text("half")
        raise RuntimeError
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "kept": "before",
        "old": "before",
    }
    with files_into(tmp_path / "out", tmp_path / "out" / ".known.part") as draft:
        (draft / "inner").mkdir()
        for name in ("old", "inner/new"):
            (draft / name).write_text("after")
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert found == {"kept": "before", "old": "after", os.path.join("inner", "new"): "after"}
    with pytest.raises(RuntimeError), files_into(tmp_path / "new"):
        raise RuntimeError
    assert not (tmp_path / "new").exists()


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "before")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "file") as draft:
        draft.write_text("half")
        raise RuntimeError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize("windows", [True, False])
def test_what_is_flushed(windows: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows opens no folder, and flushes only what is open to be written."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("x")
    opened: list[tuple[str, int]] = []
    flushed: list[int] = []

    def watched(path: Path, flags: int) -> int:
        opened.append((path.name, flags))
        return before(path, flags)

    before = os.open
    monkeypatch.setattr("transformers_mcl.io._WINDOWS", windows)
    monkeypatch.setattr("transformers_mcl.io.os.open", watched)
    monkeypatch.setattr("transformers_mcl.io.os.fsync", flushed.append)
    to_disk(tmp_path)
    flags = os.O_RDWR if windows else os.O_RDONLY
    folders = [] if windows else [("inner", flags)]
    assert opened == [*folders, ("file", flags), *([] if windows else [(tmp_path.name, flags)])]
    assert len(flushed) == len(opened)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged: it is no JSON"),
        (b'{"a": ', "is damaged: it is no JSON"),
        (b"\xff{}", "is damaged: byte 0 is no UTF-8"),
        (b"[" * 100_000, "is damaged: it is nested too deeply"),
        (b"[1]", "is damaged: it holds a list, not a dict"),
        (None, "cannot be read: "),
    ],
)
def test_json_that_is_damaged(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path} {said}"):
        load_json(path)
    assert read_json(path) == ([1] if content == b"[1]" else None)


@pytest.mark.parametrize("word", NASTY)
def test_text_in_markdown_is_only_text(word: str) -> None:
    shown = markdown_text(word)
    for text in (
        f"# {shown}",
        shown,
        f"- {shown}",
        f"a {shown} b",
        f"**{shown}**",
        markdown_table([shown], [[shown]]),
    ):
        found = [token for token in parsed(text) if not token.type.endswith(("_open", "_close")) or token.tag == "a"]
        assert {token.type for token in found} == {"inline", "text"}
        assert printable(" ".join(word.split())) in " ".join(
            "".join(one.content for one in token.children or ()) for token in found if token.type == "inline"
        )
    assert markdown_text("novels_1.txt.gz (en), 50 % of a/b & c: x-y") == "novels_1.txt.gz (en), 50 % of a/b & c: x-y"


@pytest.mark.parametrize("word", NASTY)
def test_a_block_of_code_ends_where_it_ends(word: str) -> None:
    (block,) = parsed(markdown_code(f"{word}\n```\n````\n{word}", "yaml"))
    assert (block.type, block.info, block.content.count("```")) == ("fence", "yaml", 2 + 2 * word.count("```"))


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("https://user:password@host/file.txt", "https://host/file.txt"),
        ("https://us%40er:p@ss:w@host:80/a@b.txt", "https://host:80/a@b.txt"),
        ("s3://KEY:SECRET@bucket/a, ftp://me@host", "s3://bucket/a, ftp://host"),
        ("https://host/f?token=abc&x=1", "https://host/f?token=***&x=1"),
        ("https://host/f?x=1&access_token=abc#part", "https://host/f?x=1&access_token=***#part"),
        (
            "https://b.s3.amazonaws.com/f?X-Amz-Credential=AK%2F1&X-Amz-Date=2&X-Amz-Security-Token=t&X-Amz-Signature=5",
            "https://b.s3.amazonaws.com/f?X-Amz-Credential=***&X-Amz-Date=2&X-Amz-Security-Token=***&X-Amz-Signature=***",
        ),
        ("https://a.blob.core.windows.net/f?sv=2&sig=a%2Bb%3D'", "https://a.blob.core.windows.net/f?sv=2&sig=***'"),
        (
            "https://h/f?GoogleAccessId=me&Signature=a;Api-Key=b",
            "https://h/f?GoogleAccessId=***&Signature=***;Api-Key=***",
        ),
        ("hf://datasets/me/text@main/a.txt", "hf://datasets/me/text@main/a.txt"),
        ("hf://hf_abcdefghijklmnopqrstuvwxyz0123456@datasets/me", "hf://datasets/me"),
        ("token hf_abcdefghijklmnopqrstuvwxyz0123456.", "token hf_***."),
        ("https://h/f?author=a&keyword=b&monkey=c&tokenizer=d", "https://h/f?author=a&keyword=b&monkey=c&tokenizer=d"),
        ("https://h/f?apikey=a&code=b#token=c", "https://h/f?apikey=***&code=***#token=***"),
        ("https://h/f?AWSAccessKeyId=a&auth_key=b&oauth=c", "https://h/f?AWSAccessKeyId=***&auth_key=***&oauth=***"),
        (
            "me@host.org asks: what is the key=value? token_type=1",
            "me@host.org asks: what is the key=value? token_type=1",
        ),
    ],
)
def test_addresses_let_nobody_in(given: str, left: str) -> None:
    assert without_secrets(given) == without_secrets(left) == left
