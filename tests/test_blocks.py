"""Every block of code on every page: run in a process of its own, as it is printed, or marked with why it is not."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.documentation import DOCSTRINGS, NOTEBOOKS, PAGES, Block, blocks_of, dead_links, text_of
from tests.once import Once
from tests.reader import ROOT, environment, fill
from transformers_mcl.cli import arguments as parsing
from transformers_mcl.cli.main import COMMANDS, main
from transformers_mcl.errors import UserError

_RUN = ("bash", "python", "console")
_SHOWN = ("bibtex", "json", "text", "yaml")
_APART = ("docs/troubleshooting.md",)  # whose answers are for different readers
_ALL = [*PAGES, *NOTEBOOKS, *DOCSTRINGS]
CODE = {page: [block for block in blocks_of(page) if block.language in _RUN] for page in _ALL}
RUN = {page: [block for block in blocks if not block.excuse] for page, blocks in CODE.items()}


@pytest.mark.parametrize("page", [*PAGES, *DOCSTRINGS])
def test_blocks_are_run_or_say_why_not(page: str) -> None:
    """What is of a known language and without a mark is run below; a mark says enough, and stands above code."""
    for block in blocks_of(page):
        assert block.language in _RUN + _SHOWN, f"{block}: nothing here runs {block.language!r}"
        if block.language == "text":
            assert not block.code.startswith(("$ ", "python ", "transformers-mcl ", "make ")) or ": " in block.code
        if block.language == "python" and not block.code.startswith(">>>"):
            compile(block.code, str(block), "exec")
        if block.title:  # what is saved is used
            later = [other.code for other in CODE[page] if other.line > block.line]
            assert any(Path(block.title).stem in code for code in later), f"{block}: no block uses {block.title}"
    marks = len(re.findall(r"^ *<!-- not run", text_of(page), re.MULTILINE))
    excuses = [block.excuse for block in CODE[page] if block.excuse]
    assert len(excuses) == marks, f"{page}: {marks} marks, {len(excuses)} of them above a block of shell or Python"
    assert all(len(excuse.split()) >= 3 for excuse in excuses)
    named = re.findall(r"\b(?:docs|tests)/[\w./]+\w", " ".join(excuses))
    assert all((ROOT / name).exists() for name in named), named


def commands(page: str) -> Iterator[tuple[Block, list[str]]]:
    """The words of each command of ours on a page, in blocks that are not run as well."""
    for block in CODE[page]:
        if block.language != "bash":
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for program in ("transformers-mcl", "transformers_mcl.cli"):
                if program in words[:-1]:
                    yield block, words[words.index(program) + 1 :]


class _Parsed(Exception):
    """The arguments are right."""


@pytest.mark.parametrize("page", [page for page in CODE if any(commands(page))])
def test_arguments_of_commands(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is one that its command knows, of a value that it takes; nothing is done with them."""
    monkeypatch.chdir(tmp_path)

    def parse(*given: Any, **more: Any) -> NoReturn:
        parsing.parse_arguments(*given, **more)
        raise _Parsed

    for module in COMMANDS:
        name = {"plan": "pretrain"}.get(module, module)
        monkeypatch.setattr(f"transformers_mcl.cli.{name}.parse_arguments", parse)
    for block in blocks_of(page):
        if block.title.endswith(".yaml"):
            (tmp_path / block.title).write_text(block.code, encoding="utf-8")
    monkeypatch.setenv("TRANSFORMERS_MCL_DEBUG", "1")  # which lets errors through
    for block, words in commands(page):
        if "--config" in words and not Path(words[words.index("--config") + 1]).exists():  # made by a run
            del words[words.index("--config") : words.index("--config") + 2]
            words += ["--output_dir", "out"]
        words += ["--use_cpu", "true"] if words[0] in ("pretrain", "plan", "finetune") else []
        try:
            assert main(words) == 0 and words == ["--version"]
        except _Parsed:
            pass
        except UserError as error:
            pytest.fail(f"{block}: {error}")


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    if block.language == "python":
        words = [sys.executable, "-c", block.code]
    else:
        words = ["bash", "-ec", block.code]
    return subprocess.run(
        words, cwd=folder, env=environment(folder), text=True, encoding="utf-8", capture_output=True, timeout=900
    )


def doctests(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A page's sessions of Python are one."""
    (folder / "sessions.md").write_text(text_of(page), encoding="utf-8")
    words = [sys.executable, "-m", "doctest", "sessions.md"]
    return subprocess.run(words, cwd=folder, env=environment(folder), text=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in [*PAGES, *DOCSTRINGS] if RUN[page]])
def test_blocks_run(page: str, once: Once, tmp_path: Path) -> None:
    """In order, in one folder, each in a process of its own."""
    reader = once("reader", fill)
    folder = tmp_path / "reader"
    shutil.copytree(reader, folder, symlinks=True)
    sessions = False
    after = {block.line: following for block, following in zip(blocks_of(page), blocks_of(page)[1:], strict=False)}
    for block in blocks_of(page):
        if block.title:
            (folder / block.title).write_text(block.code, encoding="utf-8")
            continue
        if block not in RUN[page]:
            continue
        if page in _APART:
            shutil.rmtree(folder)
            shutil.copytree(reader, folder, symlinks=True)
        if block.language == "console":
            for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.code, re.MULTILINE):
                shell = {"cwd": folder, "env": environment(folder), "text": True, "stderr": subprocess.STDOUT}
                done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, **shell)  # type: ignore[call-overload]
                assert done.stdout.strip() == said.strip(), f"{block}: {command}"
        elif block.code.startswith(">>>"):
            if not sessions:
                done = doctests(page, folder)
                assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
            sessions = True
        else:
            done = run(block, folder)
            shown = after.get(block.line)
            if shown and shown.language == "text" and ": error: " in shown.code:
                assert (done.returncode, done.stderr.splitlines()[-1]) == (2, shown.code.strip()), str(block)
            else:
                assert done.returncode == 0, f"{block}\n{block.code}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS, "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    base = "https://github.com/transformers-mcl/transformers-mcl/blob/main"
    (tmp_path / "other.md").write_text("# What `it` is, in short\n", encoding="utf-8")
    right = ["other.md", "other.md#what-it-is-in-short", f"{base}/README.md", f"{base}/docs/index.md#transformers-mcl"]
    wrong = ["another.md", "other.md#what", "#here", f"{base}/docs/none.md", f"{base}/docs/index.md#none"]
    page = tmp_path / "page.md"
    page.write_text("".join(f"[a]({link})\n" for link in [*right, *wrong, "https://example.org/x"]), encoding="utf-8")
    assert dead_links(str(page)) == wrong
