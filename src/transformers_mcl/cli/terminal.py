"""Where commands write to: what they print moves no cursor, fits any encoding, and ends no command if it is lost."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn, TextIO

from ..io import printable

__all__ = ["Terminal", "hidden_bars", "in_utf8", "print_drawn", "terminals"]

# Beside what `str.isprintable` takes: ends of lines, and spaces and joiners that languages are written with.
_OF_TEXT = "\n\t\u00a0\u2002\u2003\u2009\u202f\u3000\u200c\u200d"
# What progress bars write, of whose own text nothing is raw: back to the start of the line, and up to another bar's.
_OF_BARS = re.compile(r"\r|(\x1b\[A)+$")


@contextmanager
def hidden_bars(hidden: bool) -> Iterator[None]:
    """Has the libraries show no progress bars meanwhile, if they are to be `hidden`."""
    import datasets

    from ..models.loading import without_bars

    with ExitStack() as until_the_end:
        if hidden:
            until_the_end.enter_context(without_bars())
        if hidden and not datasets.are_progress_bars_disabled():
            datasets.disable_progress_bars()
            until_the_end.callback(datasets.enable_progress_bars)
        yield


class Terminal:
    """A stream of text over another, of which it has all that it does not do otherwise.

    Whatever is written, by `print`, a log, a progress bar or an error, comes out as
    [`printable`][transformers_mcl.io.printable] text. If it cannot be written, as the disk is full or the reader went
    away, it is lost from then on, and the command goes on.

    Attributes:
        error: why, if so.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        raw = found.end() if (found := _OF_BARS.match(text)) else 0
        self.write_drawn(text[:raw] + printable(text[raw:], keep=_OF_TEXT))
        return len(text)

    def write_drawn(self, text: str) -> None:
        """Writes a text whose own parts are printable already; its escapes are colours."""
        encoding = self._stream.encoding or "utf-8"
        with self._losing():
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        with self._losing():
            self._stream.flush()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            with suppress(OSError), open(os.devnull, "w", encoding="utf-8") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())  # what is buffered would fail again
        except ValueError:  # whoever had it captured has closed it
            pass

    @property
    def status(self) -> int:
        """The exit status of a command that did all else: 0, 141 if the reader went away, 1 if it lost something."""
        if self.error is None:
            return 0
        return 141 if self.error.errno == errno.EPIPE else 1


@contextmanager
def terminals() -> Iterator[Terminal]:
    """Within it `sys.stdout`, which is given, and `sys.stderr` are a [`Terminal`] each; closed ones lead nowhere."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        out, err = (Terminal(nothing if stream is None else stream) for stream in before)
        sys.stdout, sys.stderr = out, err
        try:
            yield out
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before


def print_drawn(text: str) -> None:
    """Prints a picture made of printable text and colours."""
    if isinstance(sys.stdout, Terminal):
        sys.stdout.write_drawn(text + "\n")
    else:
        sys.stdout.write(text + "\n")


def in_utf8() -> None:
    """Starts this process anew in Python's UTF-8 mode, if names of files are anything else here.

    So arguments and files are read alike by Python and by what is written in other languages, and libraries open
    files as they do elsewhere; the terminal's encoding stays. On Windows names of files are Unicode in any case.
    """
    _occupy_closed()
    if os.name != "posix" or sys.flags.utf8_mode or sys.getfilesystemencoding().lower() == "utf-8":
        return
    os.environ["PYTHONUTF8"] = "1"
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    _start_anew()


def _start_anew() -> NoReturn:
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _occupy_closed() -> None:
    """Has closed standard streams lead nowhere, or the next file that is opened would be one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
