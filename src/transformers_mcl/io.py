"""Files that are there whole or not at all, and the small texts about them: tables, versions, errors in one line."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import shutil
import signal
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn
from uuid import uuid4

import yaml

from .errors import Interrupted, UserError

__all__ = [
    "YamlLoader",
    "at_sigterm",
    "atomic_folder",
    "check_empty_folder",
    "check_room",
    "check_writable",
    "files_into",
    "is_disk_full",
    "load_json",
    "local_name",
    "markdown_code",
    "markdown_table",
    "markdown_text",
    "nearest_path",
    "one_line",
    "printable",
    "read_json",
    "to_disk",
    "versions",
    "whole_file",
    "without_secrets",
    "write_json",
    "write_text",
]

_NO_SPACE = ("no space left", "disk quota", "pytorchstreamwriter failed", "unexpected pos")
_WINDOWS = os.name == "nt"
# In an address, who asks; in its query, what lets in whoever has it, a signature as well; tokens of the Hub.
_WORDS = "token(?!iz)|(?:(?<![a-z])|api|access)key(?!word)|secret|signature|passw|pwd|auth(?!or)|credential|session"
_SECRETS = (
    (re.compile(r"(?<=://)[^\s/?#]*@"), ""),
    (re.compile(rf"(?i)(?<=[?&;#])([\w.-]*(?:{_WORDS})[\w.-]*|sig|code|GoogleAccessId)=[^\s&;#'\"<>)]+"), r"\1=***"),
    (re.compile(r"\bhf_[A-Za-z0-9]{20,}"), "hf_***"),
)
# What Markdown or HTML takes for more than a character, anywhere or where a line begins or ends.
_MARKUP = re.compile(r"[\\`*~\[\]<>|]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|^[#+=-]|^\d(?=\d*[.)])|#(?=#*$)")
_RULES = {"l": "---", "r": "---:", "c": ":---:"}


def local_name(name: str) -> str:
    """Of a path on this machine its last name, which is all that may be published; any other name, one on the Hub
    say, as it is."""
    path = Path(name).expanduser()
    return path.resolve().name if path.exists() else name


def without_secrets(text: str) -> str:
    """`text` whose addresses let nobody in: without user and password, and with `***` for tokens and signatures."""
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text


class YamlLoader(yaml.SafeLoader):
    """YAML whose floats may be written 1e-3, as in YAML 1.2; in YAML 1.1 this is a text."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?|\d*\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@contextmanager
def atomic_folder(folder: Path, replace: bool = False) -> Iterator[Path]:
    """A folder beside `folder`, which becomes it at the end, and is gone if something fails before.

    Args:
        folder: does not exist, or is empty; or if `replace`, its files go when the new ones are whole, and what the
            new folder does not have stays.

    Raises:
        UserError: it cannot be made or written, or the disk is full.
        Interrupted: SIGTERM came.
    """
    folder = folder.absolute()
    # Not by tempfile, whose folders nobody else may read.
    draft, old = (folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.{end}") for end in ("part", "old"))
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"output_dir {str(folder)!r} cannot be made: {error.strerror}") from error
    try:
        with at_sigterm(_terminate):
            yield draft
            to_disk(draft)
            if folder.is_dir():
                folder.rename(old) if replace else folder.rmdir()
            draft.rename(folder)
            for kept in [path for path in old.glob("*") if not os.path.lexists(folder / path.name)]:
                kept.rename(folder / kept.name)
            shutil.rmtree(old, ignore_errors=True)
    except _Terminated:
        raise Interrupted(f"SIGTERM: nothing was written into {folder}") from None
    except Exception as error:
        full = "the disk is full: nothing was written into it: " * is_disk_full(error)
        if not full and not str(getattr(error, "filename", "")).startswith((str(draft), str(folder))):
            raise
        raise UserError(f"output_dir {str(folder)!r} cannot be written: {full}{one_line(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if old.is_dir() and not folder.exists():
            old.rename(folder)


class _Terminated(BaseException):
    """As KeyboardInterrupt: no `except Exception` on the way may hold it up."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


@contextmanager
def at_sigterm(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Has `handler` called at SIGTERM, where this thread may listen; what did before does again afterwards.

    So it does in processes that are forked meanwhile: a pool of workers that took note of SIGTERM and did not end
    would be waited for without end.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows no other to
        yield
        return
    before = signal.signal(signal.SIGTERM, handler) or signal.SIG_DFL
    _before_we_listened.append(before)
    try:
        yield
    finally:
        _before_we_listened.pop()
        signal.signal(signal.SIGTERM, before)


_before_we_listened: list[Any] = []  # what SIGTERM did, outermost first


def _forked() -> None:
    if _before_we_listened:
        signal.signal(signal.SIGTERM, _before_we_listened[0])


if not _WINDOWS:
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def files_into(folder: Path, draft: Path | None = None) -> Iterator[Path]:
    """A folder inside `folder`, whose files are moved to `folder` at the end, over those of the same names; they are
    gone if something fails before. What else is in `folder` stays.

    Args:
        draft: its path, on the same disk, where other processes need to know it.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    draft = draft or folder / f".{uuid4().hex[:8]}.part"
    shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
    draft.mkdir()
    try:
        yield draft
        to_disk(draft)
        for path in sorted(draft.rglob("*")):
            target = folder / path.relative_to(draft)
            path.replace(target) if path.is_file() else target.mkdir(exist_ok=True)
        new = False
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if new:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path`, which becomes it at the end, in place of what stood there, and is gone if something fails
    before. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        yield draft
        to_disk(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Has the system write what it still holds in memory of a file, or of all in a folder: after a rename, a power cut
    finds what it names."""
    inside = sorted(path.rglob("*")) if path.is_dir() else []
    for each in (*inside, path):
        if each.is_dir() and _WINDOWS:  # which opens no folder, and flushes only what may be written
            continue
        descriptor = os.open(each, os.O_RDWR if _WINDOWS else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all; what stood there is replaced. Makes its folder."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any, **options: Any) -> None:
    """Writes a file of JSON as `write_text` does; `options` are those of `json.dumps`."""
    write_text(path, json.dumps(value, **{"indent": 2, **options}) + "\n")


def load_json(path: str | os.PathLike[str], kind: type = dict) -> Any:
    """What a file of JSON holds.

    Args:
        kind: what that is: a mapping, say.

    Raises:
        UserError: it cannot be read, or is damaged; the message begins with its path.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error
    except RecursionError as error:
        raise UserError(f"{path} is damaged: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: byte {error.start} is no UTF-8") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: it is no JSON: {one_line(error)}") from error
    if not isinstance(found, kind):
        raise UserError(f"{path} is damaged: it holds a {type(found).__name__}, not a {kind.__name__}")
    return found


def read_json(path: Path) -> Any:
    """What a file of JSON holds; None if there is none, or half of one."""
    try:
        return load_json(path, object)
    except UserError:
        return None


def check_empty_folder(output_dir: str | os.PathLike[str]) -> Path:
    """`output_dir` as a path.

    Raises:
        UserError: it is a file, or holds something, or cannot be written.
    """
    folder = Path(output_dir).expanduser()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"output_dir {str(output_dir)!r} is not an empty folder: give another, or empty it")
    return check_writable(output_dir)


def check_writable(output_dir: str | os.PathLike[str]) -> Path:
    """`output_dir`, which need not exist, as a path.

    Raises:
        UserError: it is no folder, or cannot be made or written.
    """
    folder = Path(output_dir).expanduser()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        if not str(output_dir) or not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file" if str(output_dir) else "it has no name")
        with TemporaryDirectory(dir=nearest, prefix="."):
            pass
    except OSError as error:
        where = "" if nearest == folder else f" to {str(nearest)!r}"
        raise UserError(
            f"output_dir {str(output_dir)!r}: cannot write{where}: {error.strerror}; choose another"
        ) from error
    return folder


def check_room(folder: Path, size: int, what: str) -> None:
    """Refuses a `folder`, which need not exist, whose disk has no room for `what`, of `size` bytes."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    if (free := shutil.disk_usage(there).free) < size:
        needed = f"{what} takes {size / 1e9:.2f} GB, and its disk has {free / 1e9:.2f} GB left"
        raise UserError(f"output_dir {str(folder)!r}: {needed}")


def is_disk_full(error: BaseException) -> bool:
    """Whether it is, or comes from, an error of a disk without room, whoever wrote there."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if any(words in str(error).lower() for words in _NO_SPACE):
        return True
    inner = error.__cause__ or error.__context__
    return inner is not None and is_disk_full(inner)


def one_line(error: BaseException) -> str:
    """The innermost cause of `error`, in one line of at most 200 characters."""
    while error.__cause__ is not None:
        error = error.__cause__
    return textwrap.shorten(str(error), 200, placeholder=" …") or type(error).__name__


def printable(text: str, encoding: str = "utf-8", keep: str = "") -> str:
    """`text` in characters that a terminal of this encoding can write, and that move its cursor to the right, or that
    are among those to `keep`; the others are written as escapes."""
    shown = "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def nearest_path(path: str) -> str:
    """`; did you mean …?`, or the empty string when nothing beside `path` has a name like it."""
    folder, name = os.path.split(path.rstrip("/"))
    names = os.listdir(folder or ".") if os.path.isdir(folder or ".") and not os.path.exists(path) else []
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {os.path.join(folder, close[0])!r}?" if close else ""


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str | None = None) -> str:
    """A table as GitHub's Markdown has it, without a newline at its end.

    Libraries have none that fits: transformers' centres every column, and pandas' needs another package.

    Args:
        head: names of the columns.
        rows: a cell a column; a `|` in it is escaped.
        align: a letter a column: `l` left, `r` right, `c` centred; by default names on the left and numbers right.
    """
    rules = [_RULES[letter] for letter in align or "l" + "r" * (len(head) - 1)]
    cells = [[" ".join(cell.replace("|", "&#124;").splitlines()) for cell in row] for row in (head, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rules, *cells[1:]))


def markdown_text(text: object) -> str:
    """Text from elsewhere, a name or a label, in one line of Markdown that shows its characters and does nothing else:
    in prose, in a table, and in a title."""
    line = printable(" ".join(str(text).split()))
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", line)


def markdown_code(text: str, language: str = "") -> str:
    """A block of code, which no line of `text` can end."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def versions(*packages: str) -> dict[str, str]:
    """What figures depend on: versions of the installed `packages`, by default of this one and of those below it."""
    return {name: metadata.version(name) for name in packages or ("transformers-mcl", "transformers", "torch")}
