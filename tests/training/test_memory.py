"""How much memory there is and was, on systems that say it in other ways."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from transformers_mcl.training import memory
from transformers_mcl.training.memory import memory_limit, peak_memory, reset_peak_memory

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_STATUS", "_CLEAR"):
        monkeypatch.setattr(memory, name, tmp_path / "proc" / "nothing")
    monkeypatch.setattr(memory, "_CGROUPS", ())


def test_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(rss=2**20, peak_wset=2**30))
    reset_peak_memory(CPU)
    assert peak_memory(CPU) == 2**30
    assert 2**20 < memory_limit(CPU) < 2**50


@pytest.mark.skipif(sys.platform == "win32", reason="that of Windows is above")
def test_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2**30))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory(CPU) == 2**30  # in bytes, where Linux counts in kibibytes
