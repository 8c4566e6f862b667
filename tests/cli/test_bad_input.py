"""Whatever cannot be used is refused in one line, before anything is done or written."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from tests.once import Once
from transformers_mcl.cli.main import COMMANDS, main

from .bad_inputs import BEGINNINGS, CASES, write_inputs


@pytest.fixture(scope="session")
def inputs(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the inputs are about, for this process alone."""
    return Path(shutil.copytree(once("bad-inputs", write_inputs), tmp_path_factory.mktemp("bad") / "inputs"))


@pytest.fixture
def listed(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Works in the folder, which must be as it was in the end."""

    def listing() -> dict[Path, int | None]:
        return {path: path.stat().st_size if path.is_file() else None for path in inputs.rglob("*")}

    monkeypatch.chdir(inputs)
    before = listing()
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()
    assert listing() == before


def test_all_commands_have_bad_inputs() -> None:
    assert len(CASES) == len(set(CASES)) >= 120
    commands = [shlex.split(f"{BEGINNINGS[begin]} {more}")[0] for begin, more, _ in CASES]
    assert set(COMMANDS) <= set(commands)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(("begin", "more", "said"), CASES)
def test_bad_input_is_one_line(begin: str, more: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "/proc/" in more and not Path("/proc/self").exists():
        pytest.skip("a folder that nobody can write into is Linux's")
    words = shlex.split(f"{BEGINNINGS[begin]} {more}")
    assert main(words) == 2
    err = capsys.readouterr().err
    name = f"transformers-mcl {words[0]}" if words[0] in COMMANDS else "transformers-mcl"
    assert err.startswith(f"{name}: error: ") and err.count("\n") == 1, err
    assert said in err
