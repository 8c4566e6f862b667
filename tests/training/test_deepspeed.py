"""DeepSpeed's stages train and resume as DDP does; on its CPU accelerator, from the files that the examples give.

Run by `make test-deepspeed`, which installs it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers.testing_utils import get_torch_dist_unique_port

from .test_resume import KILLS, assert_same_end
from .test_resume import text as text  # a fixture
from .test_resume import words as resumable
from .test_splits import ROOT, assert_same_gradient, gradient, launch, notes, words, write_text

pytestmark = pytest.mark.deepspeed
STAGES = (1, 2, 3)


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("deepspeed")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")


def accelerate(stage: int) -> list[str]:
    """The file of the examples, on two processes. Told `--cpu`, accelerate would start one, without DeepSpeed."""
    file = ROOT / "examples" / "accelerate" / f"deepspeed_zero{stage}.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    port = str(get_torch_dist_unique_port())
    return [*command, "--num_processes", "2", "--mixed_precision", "no", "--main_process_port", port]


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_has_the_same_gradient(stage: int, tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt")

    def of(split: str) -> dict[str, Any]:
        return {"words": words("padded", split, tmp_path / "text.txt", tmp_path)}

    launch([sys.executable], [of("untouched"), of("whole")])
    launch(accelerate(stage), [of("both")])
    assert [(one["processes"], one["wrapper"]) for one in notes(tmp_path / "padded" / "both")] == [
        (2, "DeepSpeedEngine")
    ] * 2
    assert_same_gradient(gradient(tmp_path, "padded", "both"), gradient(tmp_path, "padded", "whole"), "padded")
