"""Every file that a command reads, damaged in every way: one line that names it, and nothing is left."""

from __future__ import annotations

import random
import re
import resource
from pathlib import Path

import pytest

from tests.cli.damages import COMMANDS, ODD, REFUSED, Outcome, Table, damaged, make_models, make_runs, run_damaged
from tests.once import Once

# The folders that are quickly made; and the commands that read no text before.
_QUICK = ("pair", "shards", "fairseq")
_QUICK_COMMANDS = ("inspect", "export", "soup", "soup first", "convert", "tokenizer", "evaluate probe")


@pytest.fixture(autouse=True)
def bounded() -> None:
    """What asks for the memory of a size that a file names is not to bring the machine down."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 36, most))


def cases(table: Table) -> list[tuple[str, str, str]]:
    return [(file, damage, name) for file, damages, names in table for damage in damages for name in names]


def run(base: Path, table: Table, case: tuple[str, str, str]) -> tuple[Outcome, Path]:
    file, damage, name = case
    ways = (ways for other, ways, names in table if other == file and name in names and damage in ways)
    with damaged(base, file, next(ways)[damage]) as (folder, path):
        return run_damaged(base, lambda out: COMMANDS[name](base, folder, out)), path


def check(found: Outcome, path: Path, case: tuple[str, str, str], names_file: bool) -> str:
    """What is wrong with an outcome; nothing if all is well."""
    if isinstance(found.status, BaseException):
        return f"{case}: {found.status!r}"
    if found.status != 2:
        return f"{case}: exit status {found.status}" if names_file or found.status != 0 else ""
    said = [line for line in found.lines if re.match(r"transformers-mcl \w+: error: ", line)]
    if len(said) != 1 or found.new:
        return f"{case}: {found.said!r}, {found.new}"
    return f"{case}: {said[0]}" if names_file and path.name not in said[0] else ""


def test_some_of_all_damages(once: Once, tmp_path: Path) -> None:
    for path in once("models to damage", make_models).iterdir():
        (tmp_path / path.name).symlink_to(path)
    draw, wrong = random.Random(0), []
    for table, number in ((REFUSED, 32), (ODD, 12)):
        quick = [case for case in cases(table) if case[0].startswith(_QUICK) and case[2] in _QUICK_COMMANDS]
        for case in draw.sample(quick, number):
            wrong.append(check(*run(tmp_path, table, case), case, table is REFUSED))
    assert not list(filter(None, wrong))


@pytest.mark.slow
@pytest.mark.parametrize("file", dict.fromkeys(file for file, *_ in (*REFUSED, *ODD)))
def test_all_damages(file: str, once: Once, tmp_path: Path) -> None:
    for path in once("runs to damage", make_runs).iterdir():
        (tmp_path / path.name).symlink_to(path)
    wrong: list[str] = []
    for table in (REFUSED, ODD):
        for case in [case for case in cases(table) if case[0] == file]:
            wrong.append(check(*run(tmp_path, table, case), case, table is REFUSED))
    assert not list(filter(None, wrong))


def test_there_are_enough_cases() -> None:
    assert len(cases(REFUSED)) >= 310
