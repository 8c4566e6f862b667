"""Windows and macOS, as far as another system can tell: what they lack is not used, and processes may be spawned."""

from __future__ import annotations

import ast
import pickle
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import multiprocess
import pytest
import yaml
from datasets import Dataset
from transformers import AutoTokenizer

from transformers_mcl.data import DataArguments, DataCollatorForMcl, load_corpus, tokenize_and_pack
from transformers_mcl.training.from_arguments import DEMO_FOLDER

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("src", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
# Of Linux alone, and says so.
LINUX_ONLY = {"examples/benchmarks/stream.py"}
MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    "os": {"chown", "fork", "getpgid", "getuid", "killpg", "mkfifo", "nice", "sched_getaffinity", "setsid", "statvfs"}
    | {"sysconf", "uname"},
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pause"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_used_that_windows_lacks(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in LINUX_ONLY:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:  # what is imported where it is needed, is after a look at the system
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert not MODULES & set(names), f"line {node.lineno}"
    for at in ast.walk(tree):
        if isinstance(at, ast.Attribute) and isinstance(at.value, ast.Name):
            assert at.attr not in NAMES.get(at.value.id, ()), f"line {at.lineno}: {at.value.id}.{at.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_is_utf8_whatever_the_system_has(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or _binary(node):
            continue
        of = node.func
        name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
        builtin = name == "open" and isinstance(of, ast.Name)
        if name in ("read_text", "write_text") and len(node.args) <= (name == "write_text") or builtin:
            assert "encoding" in {keyword.arg for keyword in node.keywords}, f"line {node.lineno}"


def _binary(call: ast.Call) -> bool:
    modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and mode.value in ("rb", "wb", "ab", "r+b") for mode in modes)


@pytest.fixture
def spawning() -> Iterator[None]:
    before = multiprocess.get_start_method(allow_none=True)
    multiprocess.set_start_method("spawn", force=True)
    yield
    multiprocess.set_start_method(before, force=True)


@pytest.mark.slow  # each import all of torch and transformers
def test_text_is_prepared_by_spawned_processes(spawning: None, tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (path := tmp_path / f"{name}.txt").write_text(f"{name} cat sat on the mat\n\n" * 20, encoding="utf-8")
        files.append(str(path))
    tokenizer = AutoTokenizer.from_pretrained(DEMO_FOLDER / "tokenizer")

    def rows(workers: int) -> Any:
        args = DataArguments(train_file=files, validation_file=files[:1], preprocessing_num_workers=workers)
        corpus = load_corpus(args, cache_dir=str(tmp_path / str(workers)))
        return tokenize_and_pack(corpus, tokenizer, args, max_seq_length=16)[0]["train"]

    here, there = rows(1), rows(2)
    assert there["input_ids"][:] == here["input_ids"][:]


def test_what_a_spawned_loader_gets_can_be_pickled() -> None:
    tokenizer = AutoTokenizer.from_pretrained(DEMO_FOLDER / "tokenizer")
    rows = Dataset.from_dict({"input_ids": [[2, 5, 6, 3]]})
    collator, there = pickle.loads(pickle.dumps((DataCollatorForMcl(tokenizer), rows)))
    assert collator([there[0]])["input_ids"].tolist() == [[2, 5, 6, 3]]


def test_ci_runs_on_all_systems_and_versions() -> None:
    jobs: dict[str, Any] = {}
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs |= yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    assert jobs["systems"]["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]
    tried = {one["resolution"]: one["python-version"] for one in jobs["versions"]["strategy"]["matrix"]["include"]}
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert tried == {"lowest-direct": project["requires-python"].removeprefix(">="), "highest": "3.14"}
    assert f"Programming Language :: Python :: {tried['highest']}" in project["classifiers"]
