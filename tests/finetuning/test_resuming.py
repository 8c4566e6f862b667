"""A run that was killed goes on where it stopped, and ends as one that never was."""

from __future__ import annotations

import os
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

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import main
from transformers_mcl.finetuning.arguments import FinetuningArguments
from transformers_mcl.training.checkpoints import own_checkpoints

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
    assert "there is no such folder, and so no whole checkpoint" in refused([*other, str(tmp_path / "checkpoint-7")])
    (two / "optimizer.pt").write_bytes(b"cut off")
    assert "optimizer.pt is damaged" in refused([*other, str(two)])
    # Run again from the start, nothing is gone on from.
    (two / "optimizer.pt").unlink()
    assert "has lost its optimizer.pt" in refused([*other, str(two)])
    shutil.rmtree(two)
    assert main([*words, "--overwrite_output_dir", "true", "--resume_from_checkpoint", "true"]) == 0
    assert begun == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("length", ["--max_steps 5 --save_steps 5", "--num_train_epochs 2 --save_strategy epoch"])
def test_what_was_trained_to_its_end_is_not_trained_further(
    words: list[str], tmp_path: Path, begun: list[int], length: str
) -> None:
    words = [*words, "--max_steps", "-1", *length.split(), "--lr_scheduler_type", "constant"]
    words += ["--resume_from_checkpoint", "auto", "--hub_token", "hf_not-to-be-written"]
    assert main(words) == 0  # auto begins where there is nothing
    assert begun
    trained = load_file(tmp_path / "out" / "model.safetensors")
    for name in ("run.json", "config.json"):  # as of a run that was killed after its last checkpoint
        (tmp_path / "out" / name).unlink()
    begun.clear()
    assert main(words) == 0
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
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert "training_args.bin" in {path.name for path in written}
    assert [path for path in written if b"not-to-be-written" in path.read_bytes()] == []


def test_a_state_cut_short_is_passed_over(words: list[str], tmp_path: Path, begun: list[int]) -> None:
    assert main(words) == 0
    (tmp_path / "out" / "run.json").unlink()
    (tmp_path / "out" / "config.json").unlink()
    state = tmp_path / "out" / "checkpoint-5" / "trainer_state.json"
    os.truncate(state, state.stat().st_size // 2)
    begun.clear()
    assert main([*words, "--resume_from_checkpoint", "true"]) == 0
    assert begun == [4]


def test_overwriting_removes_what_fine_tuning_wrote_and_nothing_else(words: list[str], tmp_path: Path) -> None:
    """Nor does a better model of a sweep remove what lies beside the one before."""
    out = tmp_path / "out"
    theirs = [out / "checkpoint-7" / "trainer_state.json", out / "checkpoint-best" / "note", out / "note"]
    theirs += [out / "text_classification" / "best" / "note"]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert main(words) == 0
    assert main([*words, "--save_steps", "3", "--overwrite_output_dir", "true"]) == 0
    assert {path.name for path in own_checkpoints(out)} == {"checkpoint-3", "checkpoint-5"}
    sweep = [*words, "--save_strategy", "no", "--overwrite_output_dir", "true"]
    assert main([*sweep, "--sweep", '{"learning_rate": [1e-9, 1e-2]}']) == 0
    assert (out / "text_classification" / "best" / "config.json").exists()
    assert all(path.read_text() == "{}" for path in theirs)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("--save_steps 3", {"save_strategy": "steps", "save_steps": 3}),
        ("--eval_steps 3", {"eval_strategy": "steps", "eval_steps": 3}),
        ("--load_best_model_at_end true", {"save_strategy": "epoch"}),
        ("--load_best_model_at_end true --eval_steps 3", {"save_strategy": "steps", "save_steps": 3}),
        ("--save_steps 3 --save_strategy no", {"save_strategy": "no"}),
    ],
)
def test_an_argument_switches_on_what_it_needs(given: str, values: dict[str, Any]) -> None:
    fixed = ["--output_dir", "out", "--use_cpu", "true", *given.split()]
    (args,) = parse_arguments([FinetuningArguments], fixed, prog="x", description="")
    assert {name: getattr(args, name) for name in values} == values
