"""What is printed is harmless and fits, and a terminal that goes away ends nothing."""

from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tqdm import tqdm

from transformers_mcl.cli.main import COMMANDS, main
from transformers_mcl.cli.terminal import Terminal, print_drawn
from transformers_mcl.errors import UserError

WILD = "a\x1b[31mred\x1b[0m \x07\x00\u202egnp.exe\u2066\u200b\x9b1m\r\u2028é"
SHOWN = r"a\x1b[31mred\x1b[0m \x07\x00\u202egnp.exe\u2066\u200b\x9b1m\r\u2028é"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")


class Lost(io.StringIO):
    """A stream whose reader went away, or whose disk is full, after some characters."""

    def __init__(self, number: int, after: int = 0) -> None:
        super().__init__()
        self.number, self.left = number, after

    def write(self, text: str) -> int:
        self.left -= len(text)
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[str]]:
    """Makes ``transformers-mcl fake`` call a function; the words that call it."""

    def install(run: Callable[[], object]) -> list[str]:
        monkeypatch.setitem(COMMANDS, "fake", "a command of the tests")
        monkeypatch.setitem(sys.modules, "transformers_mcl.cli.fake", SimpleNamespace(run=lambda argv: run()))
        return ["fake"]

    return install


def _print() -> None:
    print(WILD)  # noqa: T201
    print(WILD, file=sys.stderr)  # noqa: T201


def _log() -> None:
    handler = logging.StreamHandler()
    logging.getLogger("wild").addHandler(handler)
    logging.getLogger("wild").warning(WILD)
    logging.getLogger("wild").removeHandler(handler)


def _fail() -> None:
    raise UserError(WILD)


def _show_progress() -> None:
    with tqdm(total=1, desc=WILD, leave=True) as bar:
        bar.update()
        bar.write(WILD, file=sys.stderr)


@pytest.mark.parametrize("run", [_print, _log, _fail, _show_progress])
def test_nothing_is_printed_raw(run: Callable[[], object], command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(command(run))
    out, err = capsys.readouterr()
    assert SHOWN.replace(r"\r\u2028", "") in (out + err).replace(r"\r\u2028", "").replace(" é", "é")
    allowed = "\r" if run is _show_progress else ""
    assert all(c.isprintable() or c in "\n" + allowed for c in out + err)


def test_colours_are_of_pictures_alone(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(lambda: print_drawn("\x1b[1mbold\x1b[0m"))) == 0
    assert capsys.readouterr().out == "\x1b[1mbold\x1b[0m\n"
    print_drawn("outside")
    assert capsys.readouterr().out == "outside\n"


def test_spaces_and_joiners_of_languages_stay(capsys: pytest.CaptureFixture[str]) -> None:
    text = "می\u200cخواهم\u00a0क्\u200dष\u3000字\ttab\n"
    Terminal(sys.stdout).write(text)
    assert capsys.readouterr().out == text


def test_several_bars_move_up_and_down(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(sys.stdout)
    for text in ("\r 50%", "\n", "\x1b[A", "\x1b[A\x1b[A"):
        terminal.write(text)
    terminal.write("\x1b[A\x1b[2Jname")
    assert capsys.readouterr().out == "\r 50%\n\x1b[A\x1b[A\x1b[A\\x1b[A\\x1b[2Jname"


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", rb"caf\xe9 \u5b57"), ("latin-1", b"caf\xe9 \\u5b57")])
def test_what_the_encoding_lacks_is_escaped(encoding: str, shown: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    terminal = Terminal(stream)
    terminal.write("café 字")
    terminal.flush()
    assert raw.getvalue() == shown


@pytest.mark.parametrize(
    ("number", "status", "said"), [(errno.EPIPE, 141, ""), (errno.ENOSPC, 1, f"is lost: {os.strerror(errno.ENOSPC)}")]
)
def test_the_work_is_done_whatever_becomes_of_stdout(
    number: int, status: int, said: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def run() -> None:
        for step in ("first", "second", "third"):
            print(step, flush=True)  # noqa: T201
            done.append(step)

    out, err = Lost(number, after=6), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(command(run)) == status
    assert done == ["first", "second", "third"] and out.getvalue() == "first\n"
    assert said in err.getvalue() and err.getvalue().count("\n") == bool(said)
    assert (sys.stdout, sys.stderr) == (out, err)


def test_a_failure_keeps_its_status_and_stderr_may_be_lost(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, Lost(errno.ENOSPC))
    assert main(command(_fail)) == 2
    assert main(command(_print)) == 1


def test_without_any_stream(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    assert main(command(_show_progress)) == 0
    assert main(command(_fail)) == 2


def test_a_captured_stream_that_was_closed_is_no_error() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    stream.close()
    terminal.write("late")
    terminal.flush()
    assert terminal.error is None


def started(redirected: str, words: str = "--help", **environment: str) -> tuple[int, str]:
    """The exit status of the command line in a shell, and what it wrote to stderr."""
    line = f'"$0" -m transformers_mcl.cli {words} {redirected}'
    found = subprocess.run(
        ["bash", "-c", line, sys.executable], capture_output=True, encoding="utf-8", env={**os.environ, **environment}
    )
    return found.returncode, found.stderr


@pytest.mark.skipif(os.name != "posix", reason="of shells")
@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        pytest.param(">/dev/full", 1, "No space left on device; all else is done\n", marks=needs_full),
        pytest.param("2>/dev/full >/dev/null", 0, "", marks=needs_full),
    ],
)
def test_closed_and_full_streams(redirected: str, status: int, said: str) -> None:
    returned, err = started(redirected)
    assert returned == status
    assert err.endswith(said) and err.count("\n") == bool(said)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere names of files are Unicode")
@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0"}, r"b\xe9\x1b[31m"),
        ({"PYTHONIOENCODING": "ascii"}, r"b\xe9\x1b[31m"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8"}, r"bé\x1b[31m"),
    ],
)
def test_any_locale(locale: dict[str, str], shown: str) -> None:
    status, err = started("", "$'b\\xc3\\xa9\\x1b[31m'", **locale)
    assert status == 2
    assert err.startswith(f"transformers-mcl: error: unknown command '{shown}'")
