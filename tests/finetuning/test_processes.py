"""Two processes fine-tune and judge as one does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.launching import torchrun
from transformers_mcl.cli.main import main

from .conftest import make_reviews


def test_two_processes_are_one(
    command: Callable[..., list[str]], bert: str, tmp_path: Path, write: Callable[..., str]
) -> None:
    train, validation = write("train.jsonl", make_reviews(48, 0)), write("validation.jsonl", make_reviews(9, 1))
    files = ["--train_file", train, "--validation_file", validation, "--model_name_or_path", bert]
    evaluated = ["--per_device_eval_batch_size", "4", "--dataloader_drop_last", "true"]
    words = command(*files, *evaluated, "--max_steps", "4", "--learning_rate", "1e-3")
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*words, "--output_dir", str(one), "--per_device_train_batch_size", "8"]) == 0
    both = [
        *torchrun(),
        "-m",
        "transformers_mcl.cli",
        *words,
        "--output_dir",
        str(two),
        "--per_device_train_batch_size",
        "4",
    ]
    done = subprocess.run(both, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, wanted = (json.loads((folder / "results.json").read_text()) for folder in (two, one))
    assert scores(found) and scores(found) == pytest.approx(scores(wanted), rel=1e-4)  # of 9 rows, each counted once
    assert done.stdout.count("results.json and results.png are in") == 1
    ours, theirs, before = (load_file(folder / "model.safetensors") for folder in (two, one, Path(bert)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    name = "embeddings.word_embeddings.weight"
    assert (ours[f"bert.{name}"] - before[name]).abs().max() > 1e-4


def scores(results: Any) -> dict[str, Any]:
    """Every accuracy, F1 and loss in a file of results, by its place in it."""
    found: dict[str, Any] = {}

    def look(value: Any, place: str) -> None:
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, dict | list):
                look(inner, f"{place}/{name}")
            elif name in ("accuracy", "f1", "loss"):
                found[f"{place}/{name}"] = inner

    look(results, "")
    return found
