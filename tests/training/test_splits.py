"""One optimizer step has one gradient, however its rows are split into micro-batches and processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.launching import torchrun
from tests.once import Once
from transformers_mcl.training.run import DEMO_FOLDER

ROOT, SCRIPT = Path(__file__).parents[2], "tests.training.splits"
ROWS = 16
# Micro-batch, accumulation, processes.
SPLITS = {
    "untouched": (16, 1, 1),
    "whole": (16, 1, 1),
    "accumulated": (4, 4, 1),
    "two processes": (8, 1, 2),
    "both": (4, 2, 2),
    "fsdp": (4, 2, 2),
}
FSDP = ["--fsdp", "--fsdp_config", '{"version": 2}']
CASES = {
    "packed": [],
    # DDP then waits for every parameter at the one backward there is.
    "packed, all used": ["--ddp_find_unused_parameters", "false"],
    # At the first step the heads of later courses have nothing to do.
    "checkpointed warm-up": ["--gradient_checkpointing", "true", "--course_warmup_steps", "5"],
    "padded": ["--line_by_line", "true"],
    "padded, one backward": ["--line_by_line", "true", "--backward_per_pass", "false"],
    "electra, padded": ["--line_by_line", "true", "--objective", "electra"],
    "packed, bf16": ["--bf16", "true"],
}


def words(case: str, split: str, text: Path, folder: Path) -> list[str]:
    """One step of plain descent, so that the weights move by the gradient."""
    batch, accumulation, _ = SPLITS[split]
    given = {
        "train_file": text,
        "validation_file": text,
        "max_train_samples": ROWS,
        "max_eval_samples": 2,
        "max_seq_length": 64,
        "tokenizer_name": DEMO_FOLDER / "tokenizer",
        "preset": "tiny",
        "output_dir": folder / case / split,
        "max_steps": 1,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "optim": "sgd",
        "learning_rate": 0 if split == "untouched" else 1,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0,
        "max_grad_norm": 0,
        "use_cpu": True,
        "course_warmup_steps": 0,
        "disable_tqdm": True,
    }
    return [
        "pretrain",
        *(str(word) for name, value in given.items() for word in (f"--{name}", value)),
        *CASES[case],
        *(FSDP if split == "fsdp" else []),
    ]


def write_text(path: Path) -> None:
    draws, vocabulary = random.Random(0), "the of and to a in that is was he for it with as his on be at by I".split()
    # Documents of 1 to 60 words: micro-batches differ in every count.
    documents = [" ".join(draws.choices(vocabulary, k=1 + 59 * n // ROWS)) for n in range(ROWS)] * 20
    path.write_text("\n".join(documents), encoding="utf-8")


@pytest.fixture(scope="module")
def runs(once: Once) -> Path:
    """Every case in every split, from the command line; a folder of their outputs."""
    return once("splits", train)


def train(folder: Path) -> None:
    write_text(folder / "text.txt")
    for processes in (1, 2):
        todo: list[dict[str, Any]] = [
            {"words": words(case, split, folder / "text.txt", folder)}
            for split in SPLITS
            for case in CASES
            if SPLITS[split][2] == processes
        ]
        if processes > 1:
            own = words("packed", "two processes", folder / "text.txt", folder / "own draws")
            todo.append({"words": own, "own_draws": True})
        launch(torchrun(processes) if processes > 1 else [sys.executable], todo)


def launch(launcher: list[str], todo: list[dict[str, Any]]) -> None:
    """Runs the commands, each of which must succeed."""
    command = [*launcher, "-m", SCRIPT, json.dumps(todo)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def gradient(runs: Path, case: str, split: str) -> dict[str, torch.Tensor]:
    before = load_file(runs / case / "untouched" / "model.safetensors")
    after = load_file(runs / case / split / "model.safetensors")
    assert after.keys() == before.keys()
    return {name: value - after[name] for name, value in before.items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("split", [split for split in SPLITS if split not in ("untouched", "whole")])
def test_a_step_has_the_same_gradient(runs: Path, case: str, split: str) -> None:
    assert_same_gradient(gradient(runs, case, split), gradient(runs, case, "whole"), case)


def assert_same_gradient(parts: dict[str, torch.Tensor], whole: dict[str, torch.Tensor], case: str) -> None:
    assert parts.keys() == whole.keys()
    for name, expected in whole.items():
        largest = expected.abs().max().item()
        idle = name.endswith("key.bias") or "token_type" in name or ("warm-up" in case and "course_" in name)
        assert largest > 0 or idle, name
        if "bf16" in case:
            assert name.endswith("key.bias") or (parts[name] - expected).norm() <= 0.1 * expected.norm(), name
        else:
            torch.testing.assert_close(parts[name], expected, rtol=1e-3, atol=1e-4 * max(largest, 1e-2), msg=name)


def notes(folder: Path) -> list[dict[str, Any]]:
    """What each process noted."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("notes-*.json"))]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("split", SPLITS)
def test_the_runs_had_the_processes_they_were_to_have(runs: Path, case: str, split: str) -> None:
    processes = SPLITS[split][2]
    wrapper = "DistributedDataParallel" if processes > 1 else "MclForPreTraining"
    wrapper = "FSDPMclForPreTraining" if split == "fsdp" else wrapper
    found = [(one["processes"], one["wrapper"]) for one in notes(runs / case / split)]
    assert found == [(processes, wrapper)] * processes


def test_processes_draw_corruptions_of_their_own(runs: Path) -> None:
    own = notes(runs / "own draws" / "packed" / "two processes")
    first, second = ({tuple(place) for place in one["masked"]} for one in own)
    # Of 15 % and 15 % of the places a sixth is common to both by chance; all would be, were their draws the same.
    assert 0 < len(first & second) < 0.4 * len(first)


def test_the_parts_differ_in_every_count(runs: Path) -> None:
    """Otherwise a mean of means would do."""
    lengths = [len(line.split()) for line in (runs / "text.txt").read_text().splitlines()[:ROWS]]
    assert len(set(lengths)) > ROWS / 2
