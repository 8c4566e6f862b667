"""A run killed at any moment goes on as if nothing had happened: its last weights are those of one left alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.launching import torchrun
from tests.once import Once
from transformers_mcl.training.checkpoints import last_checkpoint
from transformers_mcl.training.run import DEMO_FOLDER

ROOT, SCRIPT = Path(__file__).parents[2], "tests.training.killed"
SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16,"
    "hidden_dropout_prob=0.1,attention_probs_dropout_prob=0.1"
)
# Three steps an epoch and a checkpoint after each third step: at the border of an epoch. The second is hit.
KILLS: dict[str, dict[str, Any]] = {
    "in a step": {"attribute": "transformers_mcl.training.trainer.MclTrainer.training_step", "call": 10},
    "before the model": {"attribute": "transformers.modeling_utils.safe_save_file", "call": 2},
    "in the model's file": {"attribute": "transformers.modeling_utils.safe_save_file", "call": 2, "half": True},
    "in the optimizer's file": {"attribute": "torch.save", "call": 5, "half": True},
    "before the state": {"attribute": "transformers.TrainerState.save_to_json", "call": 2},
    "before the mark is gone": {"attribute": "transformers_mcl.training.checkpoints.to_disk", "call": 2},
}


@pytest.fixture(scope="module")
def text(once: Once) -> Path:
    return once("resumed text", write_text) / "text.txt"


def write_text(folder: Path) -> None:
    draws = random.Random(0)
    words = "the of and to a in that is was he for it with as his on be at by I".split()
    lines = (" ".join(draws.choices(words, k=30)) for _ in range(60))
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")


def words(text: Path, folder: Path, *more: str, batch: int = 4, steps: int = 8) -> list[str]:
    rows = () if "--streaming" in more else ("--max_train_samples", "24")
    given = {
        "train_file": text,
        "validation_file": text,
        "max_eval_samples": 4,
        "max_seq_length": 32,
        "tokenizer_name": DEMO_FOLDER / "tokenizer",
        "preset": "tiny",
        "config_overrides": SMALL,
        "output_dir": folder,
        "max_steps": steps,
        "save_strategy": "steps",
        "save_steps": 3,
        "save_total_limit": 1,
        "eval_strategy": "no",
        # A checkpoint before the discriminator is trained, and one before the other courses begin.
        "generator_warmup_steps": 0.5,
        "course_warmup_steps": 0.9,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 2,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return ["pretrain", *(str(word) for name, value in given.items() for word in (f"--{name}", value)), *rows, *more]


def run(*todo: dict[str, Any], processes: int = 1) -> list[int]:
    """Exit codes of the commands."""
    launcher = torchrun(processes) if processes > 1 else [sys.executable]
    command = [*launcher, "-m", SCRIPT, json.dumps(todo)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if processes > 1:
        return [done.returncode]
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


def resuming(text: Path, folder: Path, *more: str, **sizes: int) -> dict[str, Any]:
    return {"words": words(text, folder, "--resume_from_checkpoint", "true", *more, **sizes)}


def assert_same_end(one: Path, other: Path) -> None:
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert left.keys() == right.keys()
    assert [name for name, value in left.items() if not torch.equal(value, right[name])] == []


# What can go wrong while a checkpoint is written has nothing to do with the loader.
CASES = [*(("0", kill) for kill in KILLS), *(("2", kill) for kill in list(KILLS)[:2])]
CASES += [("stream", "in a step"), ("stream", "in the optimizer's file")]
LOADERS: dict[str, tuple[str, ...]] = {
    "0": ("--dataloader_num_workers", "0"),
    "2": ("--dataloader_num_workers", "2"),
    "stream": ("--dataloader_num_workers", "2", "--streaming", "true", "--shuffle_buffer_size", "5"),
}


@pytest.fixture(scope="module")
def ends(text: Path, once: Once) -> Path:
    """By loader, a run left alone in `whole`; and one killed in each way, and resumed."""
    return once("resumed", partial(kill_and_resume, text))


def kill_and_resume(text: Path, folder: Path) -> None:
    todo: list[dict[str, Any]] = [
        {"words": words(text, folder / loader / "whole", *more)} for loader, more in LOADERS.items()
    ]
    for loader, name in CASES:
        own, more = folder / loader / name, LOADERS[loader]
        todo += [{"words": words(text, own, *more), "kill": {**KILLS[name], "signal": 9}}, resuming(text, own, *more)]
    assert run(*todo) == [0] * len(LOADERS) + [-9, 0] * len(CASES)


@pytest.mark.parametrize(("loader", "kill"), CASES)
def test_a_killed_run_ends_with_the_weights_of_one_left_alone(ends: Path, loader: str, kill: str) -> None:
    assert_same_end(ends / loader / kill, ends / loader / "whole")


def test_runs_of_other_seeds_end_elsewhere(text: Path, ends: Path, tmp_path: Path) -> None:
    """Otherwise the above would say nothing."""
    assert run({"words": words(text, tmp_path / "other", "--seed", "7")}) == [0]
    with pytest.raises(AssertionError):
        assert_same_end(tmp_path / "other", ends / "0" / "whole")


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param((), id="ddp"),
        pytest.param(("--fsdp", "--fsdp_config", '{"version": 2}'), id="fsdp", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_two_processes_resume_exactly(text: Path, tmp_path: Path, engine: tuple[str, ...]) -> None:
    kill = {**KILLS["before the state"], "signal": 9}
    sizes = {"batch": 2, "steps": 7}
    assert run({"words": words(text, tmp_path / "whole", *engine, **sizes)}, processes=2) == [0]
    assert run({"words": words(text, tmp_path / "killed", *engine, **sizes), "kill": kill}, processes=2) == [1]
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert run(resuming(text, tmp_path / "killed", *engine, **sizes), processes=2) == [0]
    assert_same_end(tmp_path / "killed", tmp_path / "whole")


def test_at_sigterm_a_run_saves_and_ends_and_goes_on_exactly(text: Path, ends: Path, tmp_path: Path) -> None:
    kill = {**KILLS["in a step"], "signal": 15}
    asked = {"words": words(text, tmp_path / "asked"), "kill": kill}
    assert run(asked, resuming(text, tmp_path / "asked")) == [143, 0]
    assert_same_end(tmp_path / "asked", ends / "0" / "whole")


def test_at_sigterm_to_one_process_both_save_at_one_step(text: Path, tmp_path: Path) -> None:
    kill = {**KILLS["in a step"], "signal": 15, "rank": 1}
    assert run({"words": words(text, tmp_path / "asked", batch=2), "kill": kill}, processes=2) == [1]
    assert last_checkpoint(tmp_path / "asked") == str(tmp_path / "asked" / "checkpoint-5")  # of ten micro-batches
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(os.listdir(tmp_path / "asked" / "checkpoint-5"))
