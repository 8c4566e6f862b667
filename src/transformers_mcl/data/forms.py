"""What a file holds: by the ending of its name, or as the user says; and a look at whether that can be true."""

from __future__ import annotations

import codecs
import os
import re
from typing import NamedTuple

from ..errors import UserError

__all__ = ["COMPRESSIONS", "FILE_FORMATS", "HEAD_BYTES", "TABLES", "Form", "check_head", "form_of"]

FILE_FORMATS = ("auto", "text", "json", "csv", "tsv", "parquet", "arrow")
COMPRESSIONS = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst"}
TABLES = "JSON (lines or a list), CSV, TSV, parquet or Arrow"
HEAD_BYTES = 1 << 16

_TEXT_ENDINGS = ("", ".txt", ".text")
_ENDINGS = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".jsonlines": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".zip": "zip",
    ".tar": "tar",
}
_SHORT = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz", ".tzst": ".tar.zst"}
# Where in a file they stand, what stands there, and what a file is that begins so.
_MAGIC = (
    (0, b"\x1f\x8b\x08", "compressed by gzip; its name must end in .gz"),
    (0, b"BZh91AY", "compressed by bzip2; its name must end in .bz2"),
    (0, b"\xfd7zXZ\0", "compressed by xz; its name must end in .xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd; its name must end in .zst"),
    (0, b"PK\x03\x04", "a zip archive; if it holds text files, its name must end in .zip"),
    (257, b"ustar", "a tar archive; its name must end in .tar, or .tar.gz and so on"),
    (0, b"PAR1", "parquet; give --file_format parquet"),
    (0, b"ARROW1", "Arrow; give --file_format arrow"),
    (0, b"\xff\xff\xff\xff", "perhaps Arrow; then give --file_format arrow"),
    (0, b"%PDF-", "PDF; take its text out first"),
    (0, codecs.BOM_UTF16_LE, "UTF-16; convert it to UTF-8 first, for example with iconv"),
    (0, codecs.BOM_UTF16_BE, "UTF-16; convert it to UTF-8 first, for example with iconv"),
)
_JSON = re.compile(rb'\s*(\[\s*)?\{\s*"(?:[^"\\\n]|\\.)*"\s*:')
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_MOST_UNDECODABLE = 0.3  # of the bytes of a head; Latin-1 in a language that uses many accents has below 0.1


class Form(NamedTuple):
    """How a file is read.

    Attributes:
        kind: `text`, `json`, `csv`, `tsv`, `parquet`, `arrow`; or `zip` or `tar`, of members.
        compression: `gz`, `bz2`, `xz`, `zst`, or none.
        guessed: whether nothing says that it is text but that its ending is of nothing else.
    """

    kind: str
    compression: str = ""
    guessed: bool = False

    @property
    def is_archive(self) -> bool:
        return self.kind in ("zip", "tar")


def form_of(path: str, file_format: str = "auto") -> Form:
    """By the ending of the name, and `file_format`, unless that is `auto`."""
    stem, ending = os.path.splitext(os.path.basename(path).lower())
    if ending in _SHORT:
        stem, ending = os.path.splitext(stem + _SHORT[ending])
    compression = COMPRESSIONS.get(ending, "")
    if compression:
        ending = os.path.splitext(stem)[1]
    kind = _ENDINGS.get(ending, "text")
    if file_format != "auto" and kind not in ("zip", "tar"):
        return Form(file_format, compression)
    return Form(kind, compression, guessed=kind == "text" and ending not in _TEXT_ENDINGS)


def check_head(name: str, head: bytes, form: Form, column: str, told: bool) -> None:
    """That a file of text, JSON, CSV or TSV may be what it is read as.

    Args:
        name: of the file, for messages.
        head: its first bytes, decompressed, at most `HEAD_BYTES`.
        column: that of the text in a table.
        told: whether the user named the format, so that only what is not text at all is refused.

    Raises:
        UserError: it is not; says what it is, and what to do.
    """
    for place, magic, kind in _MAGIC:
        if head.startswith(magic, place):
            raise UserError(f"{name} is {kind}")
    if b"\0" in head:
        raise UserError(f"{name} is binary (a NUL byte at offset {head.index(0)}), not text")
    if len(_UNDECODABLE.findall(head.decode("utf-8", "surrogateescape"))) > max(_MOST_UNDECODABLE * len(head), 64):
        raise UserError(f"{name} is not UTF-8; convert it first, for example with iconv")
    if form.kind == "text" and not told:
        _check_no_table(name, head, form.guessed, column)


def _check_no_table(name: str, head: bytes, guessed: bool, column: str) -> None:
    remedy = "give --file_format {}, or --file_format text if it is text"
    if _JSON.match(head.removeprefix(codecs.BOM_UTF8)):
        raise UserError(f"{name} looks like JSON, but its ending says text: {remedy.format('json')}")
    lines = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").splitlines()
    lines = [line for line in lines[: -1 if len(head) >= HEAD_BYTES else None] if line.strip()][:20]
    for kind, separator in (("csv", ","), ("tsv", "\t")):
        counts = {line.count(separator) for line in lines}
        header = [field.strip().strip('"') for field in lines[0].split(separator)] if lines else []
        if len(header) < 2 or len(lines) < 2 or min(counts) < len(header) - 1:
            continue
        if column in header or (guessed and kind == "tsv" and len(counts) == 1 and len(lines) > 2 and header[0]):
            raise UserError(f"{name} looks like {kind.upper()}, but its ending says text: {remedy.format(kind)}")
