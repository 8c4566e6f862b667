"""What every command has in common: how it is found, and how it ends."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from transformers_mcl.cli import main as module
from transformers_mcl.cli.main import COMMANDS, main
from transformers_mcl.errors import UserError

Run = Callable[[list[str]], object]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Make ``transformers-mcl fake`` call a function."""

    def install(run: Run) -> None:
        monkeypatch.setitem(COMMANDS, "fake", "a command of the tests")
        monkeypatch.setitem(sys.modules, "transformers_mcl.cli.fake", SimpleNamespace(run=run))

    return install


def test_every_command_has_a_module() -> None:
    assert {"pretrain", "plan", "tokenizer", "finetune", "inspect"} <= set(COMMANDS)
    assert [name for name in COMMANDS if importlib.util.find_spec(f"transformers_mcl.cli.{name}") is None] == []


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(word: str) -> None:
    code = (
        "import sys; from transformers_mcl.cli.main import main; assert main(sys.argv[1:]) == 0; "
        "print({'torch', 'transformers', 'datasets'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    wanted = [f"transformers-mcl {metadata.version('transformers-mcl')}"] if word == "--version" else COMMANDS
    assert all(text in done.stdout for text in wanted)


def test_no_command_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: transformers-mcl [-h] [--version] COMMAND")


@pytest.mark.parametrize(
    ("word", "hint"),
    [("pretran", "did you mean 'pretrain'?"), ("zzz", "the commands are pretrain, plan, tokenizer, finetune")],
)
def test_unknown_command(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "--output_dir", "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"transformers-mcl: error: unknown command '{word}'; {hint}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (3, 3)])
def test_a_command_gets_the_words_after_its_name(
    returned: int | None, status: int, command: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def run(argv: list[str]) -> int | None:
        seen.append(argv)
        return returned

    command(run)
    assert main(["fake", "--a", "1"]) == status
    monkeypatch.setattr(sys, "argv", ["transformers-mcl", "fake", "--b"])
    assert main() == status
    assert seen == [["--a", "1"], ["--b"]]


def _raise(error: BaseException) -> Run:
    def run(argv: list[str]) -> None:
        raise error

    return run


def test_user_error_is_one_line_and_status_2(
    command: Callable[[Run], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(module.DEBUG, raising=False)
    command(_raise(UserError("no such file: x;\n  name another")))
    assert main(["fake"]) == 2
    assert capsys.readouterr().err == "transformers-mcl fake: error: no such file: x; name another\n"
    monkeypatch.setenv(module.DEBUG, "1")
    with pytest.raises(UserError, match="no such file"):
        main(["fake"])


@pytest.mark.parametrize("error", [ValueError("a bug"), BrokenPipeError("a data worker's")])
def test_a_bug_keeps_its_traceback(error: Exception, command: Callable[[Run], None]) -> None:
    command(_raise(error))
    with pytest.raises(type(error), match=str(error)):
        main(["fake"])


def test_ctrl_c_is_one_line_and_status_130(command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]) -> None:
    command(_raise(KeyboardInterrupt()))
    assert main(["fake"]) == 130
    assert capsys.readouterr().err == "\ntransformers-mcl fake: interrupted\n"


def test_a_reader_that_went_away_is_no_news() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "transformers_mcl.cli", "--help"], stdout=stdout, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(("ending", "status"), [("0", 0), ("2", 2), ("fails", 1)])
def test_under_a_launcher_nothing_aborts_as_python_ends(tmp_path: Path, ending: str, status: int) -> None:
    words = [sys.executable, "-m", "tests.cli.leaving", str(tmp_path / "group"), ending]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, "what was registered is done"), done.stderr
