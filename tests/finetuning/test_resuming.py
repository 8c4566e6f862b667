"""A run that was killed goes on where it stopped, and ends as one that never was."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, BertTokenizer, Trainer

from transformers_mcl.cli.main import main

# Kills itself in the third of five steps of the second run.
DIES = """
import os, signal, sys
from transformers import Trainer
from transformers_mcl.cli.main import main

step, steps = Trainer.training_step, iter(range(7))

def training_step(self, *args, **kwargs):
    if next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)

Trainer.training_step = training_step
main(sys.argv[1:])
"""


@pytest.fixture
def words(command: Callable[..., list[str]], bert: str, tokenizer: BertTokenizer, tmp_path: Path, write: Any) -> Any:
    """A command whose dropout makes every step depend on the state of the random numbers."""
    fields = {**BertConfig.from_pretrained(bert).to_dict(), "hidden_dropout_prob": 0.2}
    BertModel(BertConfig(**fields)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = [{"sentence": f"the film {i}", "label": "ab"[i % 2]} for i in range(24)]
    train = write("train.jsonl", rows)
    files = ["--train_file", train, "--validation_file", train, "--model_name_or_path", str(tmp_path / "model")]
    return command(*files, "--max_steps", "5", "--save_strategy", "steps", "--save_steps", "2")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that were begun in this process."""
    steps: list[int] = []
    step = Trainer.training_step

    def watch(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(self.state.global_step)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", watch)
    return steps


def test_a_killed_sweep_ends_as_an_unbroken_one(words: list[str], tmp_path: Path, begun: list[int]) -> None:
    sweep = [*words, "--sweep", '{"learning_rate": [1e-2, 2e-2]}', "--save_models", "true"]
    done = subprocess.run([sys.executable, "-c", DIES, *sweep], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert main([*sweep, "--resume_from_checkpoint", "true"]) == 0
    assert begun == [2, 3, 4]
    assert main([*sweep, "--output_dir", str(tmp_path / "unbroken")]) == 0
    for rate in (0.01, 0.02):
        place = Path("text_classification", f"learning_rate={rate}", "seed-42", "model.safetensors")
        found, wanted = (load_file(tmp_path / folder / place) for folder in ("out", "unbroken"))
        assert all(found[name].equal(wanted[name]) for name in wanted)


def test_a_checkpoint_may_be_named_and_must_be_one(
    words: list[str], tmp_path: Path, refused: Any, begun: list[int]
) -> None:
    assert main(words) == 0
    assert begun == [0, 1, 2, 3, 4]
    begun.clear()
    two = tmp_path / "out" / "checkpoint-2"
    other = [*words, "--output_dir", str(tmp_path / "other"), "--resume_from_checkpoint"]
    assert main([*other, str(two)]) == 0
    assert begun == [2, 3, 4]
    begun.clear()
    found, wanted = (load_file(tmp_path / folder / "model.safetensors") for folder in ("other", "out"))
    assert all(found[name].equal(wanted[name]) for name in wanted)
    shutil.rmtree(tmp_path / "other")
    assert "was not written to its end" in refused([*other, str(tmp_path / "checkpoint-7")])
    (two / "optimizer.pt").write_bytes(b"cut off")
    assert "optimizer.pt is damaged" in refused([*other, str(two)])
    # Run again from the start, nothing is gone on from.
    (two / "optimizer.pt").unlink()
    assert "has no optimizer state" in refused([*other, str(two)])
    shutil.rmtree(two)
    assert main([*words, "--overwrite_output_dir", "true", "--resume_from_checkpoint", "true"]) == 0
    assert begun == [0, 1, 2, 3, 4]


def test_what_was_trained_to_its_end_is_not_trained_further(
    words: list[str], tmp_path: Path, begun: list[int]
) -> None:
    assert main([*words, "--save_steps", "5"]) == 0
    trained = load_file(tmp_path / "out" / "model.safetensors")
    (tmp_path / "out" / "run.json").unlink()
    (tmp_path / "out" / "config.json").unlink()
    begun.clear()
    assert main([*words, "--save_steps", "5", "--resume_from_checkpoint", "true"]) == 0
    assert begun == []
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(found[name].equal(trained[name]) for name in trained)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, of what transformers renamed
def test_an_adapter_goes_on_from_its_checkpoint(words: list[str], tmp_path: Path, begun: list[int]) -> None:
    pytest.importorskip("peft")
    adapts, other = [*words, "--lora", "true"], tmp_path / "other"
    assert main(adapts) == 0
    begun.clear()
    two = str(tmp_path / "out" / "checkpoint-2")
    assert main([*adapts, "--output_dir", str(other), "--resume_from_checkpoint", two]) == 0
    assert begun == [2, 3, 4]
    for file in ("model.safetensors", "adapter/adapter_model.safetensors"):
        found, wanted = (load_file(folder / file) for folder in (other, tmp_path / "out"))
        assert all(found[name].equal(wanted[name]) for name in wanted)
