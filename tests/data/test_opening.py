from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from transformers_mcl.data.forms import form_of
from transformers_mcl.data.opening import explained, members, open_bytes, open_seekable
from transformers_mcl.errors import UserError

TEXT = os.urandom(100_000).hex().encode()


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(("ending", "compress"), [("gz", gzip.compress), ("zst", zst)])
def test_several_compressed_parts_one_after_another_and_a_cut_one(
    tmp_path: Path, ending: str, compress: object
) -> None:
    assert callable(compress)
    path = str(tmp_path / f"a.txt.{ending}")
    Path(path).write_bytes(compress(TEXT) + compress(b"") + compress(b"more"))
    with open_bytes(path, ending) as file:
        assert file.read() == TEXT + b"more"
    Path(path).write_bytes(compress(TEXT)[:-9])
    with pytest.raises(UserError, match=r"a\.txt\.\w+': damaged compressed file: "), explained(path, form_of(path)):
        with open_bytes(path, ending) as file:
            file.read()


def test_compressed_tables_can_be_read_from_any_part(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet.gz"
    path.write_bytes(gzip.compress(TEXT))
    with open_seekable(str(path), form_of(path.name)) as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == TEXT[-5:]


def archive(kind: str, names: list[str]) -> bytes:
    sink = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as zipped:
            for name in names:
                zipped.writestr(name, name)
    else:
        with tarfile.open(fileobj=sink, mode="w") as tarred:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(name)
                tarred.addfile(member, io.BytesIO(name.encode()))
            tarred.addfile(tarfile.TarInfo("link"), None)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_archives(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(archive(kind, ["./b.txt", "deep/a.txt", "__MACOSX/b.txt", ".hidden/c.txt", "deep/._a.txt"]))
    found = [(name, content.read().decode()) for name, content in members(str(path), form_of(path.name))]
    assert [pair for pair in found if pair[0] != "link"] == [("./b.txt", "./b.txt"), ("deep/a.txt", "deep/a.txt")]


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    content = bytearray(archive("zip", ["a.txt"]))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"a\.zip': its member 'a\.txt' is encrypted"):
        list(members(str(path), form_of(path.name)))


def test_no_package_is_needed_for_zstd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "a.zst").write_bytes(zst(b"text"))
    with open_bytes(str(tmp_path / "a.zst"), "zst") as file:
        assert file.read() == b"text"
