"""When a run compiles without being asked: by its length and device, and only where something can be compiled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from transformers_mcl import MclForPreTraining, UserError
from transformers_mcl.cli.pretrain import DryRun, arguments_of
from transformers_mcl.training import run as module
from transformers_mcl.training.compiling import compiling_pays, why_not
from transformers_mcl.training.run import PretrainingRun, prepare

HOUR = 3600.0


@pytest.mark.parametrize(
    ("device", "seconds", "on", "said"),
    [
        ("cpu", HOUR, False, "takes about 1 h, and it pays from 1 h 25 min on"),
        ("cpu", 2 * HOUR, True, "of which it saves some 7%"),
        ("cuda", HOUR / 4, False, "pays from 30 min on"),
        ("cuda", HOUR, True, "of which it saves some 20%"),
        ("mps", 1000 * HOUR, False, "what it gains on mps is not known"),
    ],
)
def test_long_runs_gain_by_it(device: str, seconds: float, on: bool, said: str) -> None:
    found = compiling_pays(device, seconds)
    assert found.on == on
    assert said in found.reason


def test_what_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_nothing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Compiler: cl is not found.\nInstall Visual Studio.")

    monkeypatch.setattr(torch, "compile", compile_nothing)
    assert why_not(torch.device("cpu")) == "Compiler: cl is not found. Install Visual Studio."
    monkeypatch.setattr(torch, "compile", lambda run: run)
    assert why_not(torch.device("cpu")) == ""


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Backends that passes were compiled with; they are not. Any run takes 1,000 hours."""
    backends: list[str] = []
    monkeypatch.setattr(MclForPreTraining, "compile_passes", lambda _, backend, mode: backends.append(backend))
    monkeypatch.setattr(module, "rough_seconds", lambda *_: 1000 * HOUR)
    monkeypatch.setattr(module, "why_not", lambda _: "")
    yield backends


def prepared(folder: Path, *words: str) -> PretrainingRun:
    own = ["--output_dir", str(folder), "--use_cpu", "true", "--disable_tqdm", "true", "--max_steps", "1"]
    _, *arguments = arguments_of([*own, *words], "pretrain", "", DryRun)
    return prepare(*arguments)


def test_the_run_says_and_remembers_it(compiled: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    saving = ("--save_strategy", "steps", "--save_steps", "1")
    run = prepared(tmp_path / "run", *saving)
    assert "compiled   each pass of a network" in run.plan() and compiled == []
    run.train()
    assert compiled == ["inductor"]
    assert json.loads((tmp_path / "run" / "checkpoint-1" / "run.json").read_text(encoding="utf-8"))["torch_compile"]

    monkeypatch.setattr(module, "rough_seconds", lambda *_: 1.0)
    assert not prepared(tmp_path / "other").compiling.on
    resumed = prepared(tmp_path / "run", "--resume_from_checkpoint", "true", "--max_steps", "2")
    assert resumed.compiling == (True, "as before the checkpoint")
    other = prepared(
        tmp_path / "run", "--resume_from_checkpoint", "true", "--max_steps", "2", "--torch_compile", "false"
    )
    assert other.compiling == (False, "asked for")


def test_what_is_asked_for_wins(compiled: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "compiled   no (asked for)" in prepared(tmp_path, "--torch_compile", "false").plan()
    assert prepared(tmp_path, "--torch_compile", "true").compiling == (True, "asked for")
    assert compiled == ["inductor"]
    monkeypatch.setattr(module, "why_not", lambda _: "no C++ compiler")
    fallen_back = prepared(tmp_path)
    assert not fallen_back.compiling.on
    assert fallen_back.plan().count("but nothing can be compiled here: no C++ compiler)") == 1
    with pytest.raises(UserError, match="torch_compile=True: nothing can be compiled here: no C.. compiler: leave it"):
        _ = prepared(tmp_path, "--torch_compile", "true").compiling
