from __future__ import annotations

import doctest
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from transformers_mcl.cli.main import main
from transformers_mcl.training.run import DEMO_FOLDER

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "examples"), [("data.md", 36), ("text.md", 3)])
def test_the_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, examples: int) -> None:
    monkeypatch.chdir(tmp_path)
    files = re.findall(r"```bash\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)[0]
    subprocess.run(["bash", "-ec", files], check=True)
    result = doctest.testfile(str(DOCS / page), module_relative=False, encoding="utf-8")
    assert (result.failed, result.attempted) == (0, examples)


@pytest.mark.parametrize("page", ["data.md", "text.md"])
def test_the_error_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = r"```bash\n(printf.*?)\ntransformers-mcl (.*?)\n```\n\n```text\n(.*?)\n```"
    [(make, command, said)] = re.findall(shown, (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    subprocess.run(["bash", "-ec", make], check=True)
    shutil.copytree(DEMO_FOLDER / "tokenizer", "fables-tokenizer")
    assert main(shlex.split(command)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == said
