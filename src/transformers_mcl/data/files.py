"""Find the files that an argument names."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from transformers.utils import logging

from ..errors import UserError
from ..io import nearest_path

logger = logging.get_logger(__name__)

_POINTER = b"version https://git-lfs.github.com/spec/"
_ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|contributing|changelog)([-_][^.]*)?(\.(md|txt|rst|cff|bib))?",
    re.IGNORECASE,
)


def find_files(patterns: list[str], field: str, skip_empty: bool = False) -> list[str]:
    """All files that `patterns` (files, globs, directories) name, in order and each once.

    In a directory, files at any depth count, but not those in or under a name that starts with `.` or `_`, nor what is
    said about them, as `README.md` and `LICENSE`. Empty files are left out with a warning if `skip_empty`, unless all
    are.

    Raises:
        UserError: no such file, or one that is empty or cannot be opened.
    """
    found = dict.fromkeys(path for pattern in patterns for path in _expand(os.path.expanduser(pattern), field))
    texts: list[str] = []
    last = next(reversed(found))
    for path in found:
        if not os.path.isfile(path):  # a pipe could be read only once
            raise UserError(f"{field}: {path!r} is not a regular file")
        try:
            with open(path, "rb") as file:
                head = file.read(len(_POINTER))
        except OSError as error:
            raise UserError(f"{field}: {path!r} cannot be read: {error.strerror}") from error
        if head == _POINTER:
            raise UserError(f"{field}: {path!r} only points to a file of Git LFS: run `git lfs pull` beside it")
        if head:
            texts.append(path)
        elif skip_empty and (texts or path != last):
            logger.warning(f"{field}: {path!r} is empty: it is skipped")
        else:
            raise UserError(f"{field}: {path!r} is empty")
    return texts


def _expand(pattern: str, field: str) -> list[str]:
    if os.path.isdir(pattern):
        inside = (path for path in Path(pattern).rglob("*") if path.is_file())
        paths = sorted(
            str(path)
            for path in inside
            if not any(part[0] in "._" for part in path.relative_to(pattern).parts) and not _ABOUT.fullmatch(path.name)
        )
        if not paths:
            raise UserError(f"{field}: the directory {pattern!r} holds no files of text")
        return paths
    if os.path.exists(pattern):
        return [pattern]
    matches = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not matches:
        raise UserError(f"{field}: no such file: {pattern!r}{nearest_path(pattern)}")
    return matches
