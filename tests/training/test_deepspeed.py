"""DeepSpeed's stages train and resume as DDP does; on its CPU accelerator, from the files that the examples give.

Run by `make test-deepspeed`, which installs it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from .test_resume import assert_same_end
from .test_resume import text as text  # a fixture
from .test_resume import words as resumable
from .test_splits import ROOT, assert_same_gradient, gradient, launch, notes, words, write_text

pytestmark = pytest.mark.deepspeed
STAGES = pytest.mark.parametrize("stage", [1, 2, 3])


@pytest.fixture(scope="module", autouse=True)
def on_a_cpu() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", "cpu")
        yield


def accelerate(stage: int) -> list[str]:
    """The file of the examples, on two processes. Told `--cpu`, accelerate would start one, without DeepSpeed."""
    file = ROOT / "examples" / "accelerate" / f"deepspeed_zero{stage}.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    return [*command, "--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]


def step(split: str, folder: Path, name: str, *more: str) -> dict[str, list[str]]:
    return {
        "words": [
            *words("padded", split, folder / "text.txt", folder),
            *more,
            "--output_dir",
            str(folder / "padded" / name),
        ]
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step of one process without DeepSpeed, from weights that are kept: stage 3 would draw others."""
    folder = tmp_path_factory.mktemp("alone")
    write_text(folder / "text.txt")
    launch([sys.executable], [step("untouched", folder, "untouched")])
    launch([sys.executable], [step("whole", folder, "whole", *begin(folder))])
    return folder


def begin(folder: Path) -> list[str]:
    return ["--preset", "tiny", "--model_name_or_path", str(folder / "padded" / "untouched")]


@STAGES
def test_a_step_has_the_same_gradient(stage: int, alone: Path) -> None:
    name = f"stage {stage}"
    (alone / "padded" / name).mkdir()
    launch(accelerate(stage), [step("both", alone, name, *begin(alone))])
    assert [(one["processes"], one["wrapper"]) for one in notes(alone / "padded" / name)] == [
        (2, "DeepSpeedEngine")
    ] * 2
    assert_same_gradient(gradient(alone, "padded", name), gradient(alone, "padded", "whole"), "padded")


@STAGES
def test_a_resumed_run_is_the_run(stage: int, text: Path, tmp_path: Path) -> None:
    def run(name: str, *more: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        given = resumable(text, folder, "--save_total_limit", "9", *more, batch=2, steps=7)
        launch(accelerate(stage), [{"words": given, "own_draws": True}])
        return folder

    whole = run("whole")
    (state, _) = sorted((whole / "checkpoint-3" / "global_step3").glob("*optim_states.pt"))
    saved = torch.load(state, map_location="cpu", weights_only=False)["optimizer_state_dict"]
    assert saved["zero_stage"].value == stage
    resumed = run("resumed", "--resume_from_checkpoint", str(whole / "checkpoint-3"))
    assert not (resumed / "checkpoint-3").exists()  # it did not begin anew
    assert_same_end(resumed, whole)
    with pytest.raises(AssertionError):
        assert_same_end(whole / "checkpoint-6", whole)
