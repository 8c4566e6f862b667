"""Runs killed at random end with the weights of runs left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_no_random_kill_costs_a_bit(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.training.kills", str(tmp_path), "--kills", "60"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "| all | 60 |" in done.stdout
