from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Features, Value

from transformers_mcl.data.cached import map_once, write_once
from transformers_mcl.errors import UserError

FEATURES = Features({"n": Value("int64"), "process": Value("int64")})


def numbers(parts: list[int], more: int) -> Iterator[pa.Table]:
    for part in parts:
        if part < 0:
            raise UserError(f"{part} is no number")
        yield pa.table({"n": [part, part + more], "process": [os.getpid()] * 2})


def write(tmp_path: Path, parts: list[int], follows_from: Any = 0, more: int = 1, **options: Any) -> Any:
    arguments = {"parts": parts, "more": more}
    return write_once(numbers, arguments, FEATURES, follows_from, cache_dir=str(tmp_path), **options)


def test_tables_are_written_once(tmp_path: Path) -> None:
    first = write(tmp_path, [0, 10])
    assert first["n"][:] == [0, 1, 10, 11] and first.cache_files
    assert write(tmp_path, [0, 10], more=2)["n"][:] == [0, 1, 10, 11], "follows from the same: from the cache"
    assert write(tmp_path, [0, 10], more=2, overwrite=True)["n"][:] == [0, 2, 10, 12]
    assert write(tmp_path, [0, 10])["n"][:] == [0, 2, 10, 12], "what was overwritten stays"
    other = write(tmp_path, [0], follows_from=1)
    assert other["n"][:] == [0, 1] and other._fingerprint != first._fingerprint
    assert len(write(tmp_path, [], follows_from=2)) == 0


def test_several_processes_keep_the_order(tmp_path: Path) -> None:
    written = write(tmp_path, [*range(0, 100, 10)], num_proc=3)
    assert written["n"][:] == [n + more for n in range(0, 100, 10) for more in (0, 1)]
    assert len(set(written["process"])) == 3


@pytest.mark.parametrize("processes", [None, 2])
def test_a_users_error_stays_one(tmp_path: Path, processes: int | None) -> None:
    with pytest.raises(UserError, match="^-1 is no number$"):
        write(tmp_path, [0, -1, 2], num_proc=processes)
    assert write(tmp_path, [0, 1, 2], num_proc=processes)["n"][0] == 0, "nothing is left of it"


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda found: b"",
    "cut": lambda found: found[: len(found) // 2],
    "zeros": lambda found: bytes(len(found)),
}


@pytest.mark.parametrize("file", ["dataset_info.json", "*.arrow"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_made_anew(damage: str, file: str, tmp_path: Path) -> None:
    before = write(tmp_path, [1, 2]).to_list()
    replace(next(tmp_path.rglob(file)), DAMAGES[damage])
    assert [row["n"] for row in write(tmp_path, [1, 2])] == [row["n"] for row in before]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_made_of_a_table_is_made_anew(damage: str, tmp_path: Path) -> None:
    table = write(tmp_path, [1, 2])
    assert list(map_once(table, double, load_from_cache_file=True)["n"]) == [2, 4, 4, 6]
    replace(next(tmp_path.rglob("cache-*.arrow")), DAMAGES[damage])
    assert list(map_once(table, double, load_from_cache_file=True)["n"]) == [2, 4, 4, 6]


def replace(path: Path, damage: Callable[[bytes], bytes]) -> None:
    """By another file: the old one may still be mapped into memory."""
    found = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(found))


def double(row: dict[str, Any]) -> dict[str, Any]:
    return {"n": 2 * row["n"]}
