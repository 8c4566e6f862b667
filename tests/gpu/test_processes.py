"""DDP and FSDP2 on the cards that are there: one step has the gradient of one large batch on one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.launching import torchrun
from tests.training.test_splits import FSDP, ROWS, assert_same_gradient, gradient, launch, notes, words, write_text

from .conftest import SLOW_ON_A_CPU

pytestmark = SLOW_ON_A_CPU
ENGINES = {"ddp": [], "fsdp2": FSDP}


def on(device: str, split: str, folder: Path, *more: str) -> dict[str, list[str]]:
    """One step over all rows, in float32, whose rounding does not hide what differs."""
    precision = ["--use_cpu", "false", "--bf16", "false", "--tf32", "false"] if device == "cuda" else []
    return {"words": [*words("packed", split, folder / "text.txt", folder), *precision, *more]}


@pytest.fixture(scope="module")
def alone(device: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one device that no launcher started."""
    folder = tmp_path_factory.mktemp("alone")
    write_text(folder / "text.txt")
    launch([sys.executable], [on(device, split, folder) for split in ("untouched", "whole")])
    return folder


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_has_the_same_gradient(engine: str, processes: int, device: str, alone: Path) -> None:
    if device == "cuda" and torch.cuda.device_count() < processes:
        pytest.skip(f"{torch.cuda.device_count()} GPU is here")
    split = f"{engine} on {processes}"
    (alone / "packed" / split).mkdir()
    size = ["--output_dir", str(alone / "packed" / split), "--per_device_train_batch_size", str(ROWS // processes)]
    launch(torchrun(processes), [on(device, "whole", alone, *size, *ENGINES[engine])])
    wrapper = "DistributedDataParallel" if engine == "ddp" else "FSDPMclForPreTraining"
    assert [(one["processes"], one["wrapper"]) for one in notes(alone / "packed" / split)] == [
        (processes, wrapper)
    ] * processes
    assert_same_gradient(gradient(alone, "packed", split), gradient(alone, "packed", "whole"), "packed")
