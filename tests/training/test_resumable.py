"""A run that has ended trains no further; what it leaves can be moved, and holds no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback

from transformers_mcl import MclTrainer
from transformers_mcl.training.checkpoints import own_checkpoints, remembered

Make = Callable[..., MclTrainer]
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"lr_scheduler_type": "constant"},
    "linear": {"lr_scheduler_type": "linear", "warmup_steps": 2},
    "cosine": {"lr_scheduler_type": "cosine"},
    "stable": {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 2}},
    "batch warm-up": {"batch_size_warmup_steps": 3},
    "in an epoch": {"max_steps": 5, "lr_scheduler_type": "constant"},
    "epochs": {"max_steps": -1, "num_train_epochs": 1, "per_device_train_batch_size": 8},
    "a part of an epoch": {"max_steps": -1, "num_train_epochs": 0.4, "lr_scheduler_type": "constant"},
    "accumulation": {"gradient_accumulation_steps": 5, "lr_scheduler_type": "constant"},
    "data ignored": {"ignore_data_skip": True, "lr_scheduler_type": "constant"},
}


_SLOW = ("linear", "cosine", "stable", "a part of an epoch", "data ignored")


@pytest.mark.parametrize(
    "given",
    [pytest.param(s, id=name, marks=[pytest.mark.slow] * (name in _SLOW)) for name, s in SCHEDULES.items()],
)
def test_a_run_that_has_ended_trains_no_further(make_trainer: Make, tmp_path: Path, given: dict[str, Any]) -> None:
    (first := make_trainer(save_steps=0.5, **given)).train()
    last = own_checkpoints(tmp_path)[-1]
    assert last.name == f"checkpoint-{first.state.global_step}"
    begun: list[int] = []
    again = make_trainer(save_steps=0.5, **given)
    again.training_step = lambda *_, **__: begun.append(1)  # type: ignore[method-assign, assignment]
    result = again.train(resume_from_checkpoint=str(last))
    assert begun == [] and own_checkpoints(tmp_path)[-1] == last
    assert (result.global_step, result.metrics) == (first.state.global_step, {})
    assert again.state.log_history == json.loads((last / "trainer_state.json").read_text())["log_history"]
    weights = load_file(last / "model.safetensors")
    assert all(value.equal(weights[name]) for name, value in again.model.state_dict().items() if name in weights)


def stopped(trainer: MclTrainer) -> MclTrainer:
    trainer.add_callback(EarlyStoppingCallback(1, 1e9))  # nothing is so much better
    return trainer


def test_what_a_callback_has_stopped_is_stopped_and_a_longer_run_goes_on(make_trainer: Make, tmp_path: Path) -> None:
    given: dict[str, Any] = {"max_steps": 8, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    given |= {"load_best_model_at_end": True, "metric_for_best_model": "loss"}
    (first := stopped(make_trainer(**given))).train()
    assert first.state.global_step == 4
    (again := stopped(make_trainer(**given))).train(resume_from_checkpoint=True)
    assert again.state.global_step == 4
    (longer := make_trainer(**{**given, "max_steps": 6})).train(resume_from_checkpoint=True)
    assert longer.state.global_step == 6


def test_the_best_is_found_where_the_folder_was_moved_to(make_trainer: Make, tmp_path: Path) -> None:
    """And the last checkpoint is kept beside it, which transformers would remove in the end."""
    given: dict[str, Any] = {"max_steps": 6, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    given |= {"load_best_model_at_end": True, "save_total_limit": 1, "learning_rate": 0.0}  # the first is the best
    trainer = make_trainer(output_dir=str(tmp_path / "here"), **given)
    trainer.train()
    trainer.save_state()
    best, last = own_checkpoints(tmp_path / "here")
    assert (best.name, last.name, remembered(last)["best"]) == ("checkpoint-2", "checkpoint-6", "checkpoint-2")
    for state in (last / "trainer_state.json", tmp_path / "here" / "trainer_state.json"):
        assert str(tmp_path) not in state.read_text()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = make_trainer(output_dir=str(tmp_path / "there"), **{**given, "max_steps": 8})
    moved.train(resume_from_checkpoint=True)
    assert moved.state.best_model_checkpoint == str(tmp_path / "there" / "checkpoint-2")
    assert [path.name for path in own_checkpoints(tmp_path / "there")] == ["checkpoint-2", "checkpoint-8"]


def test_no_file_of_a_run_holds_a_secret(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer(hub_token="hf_not-to-be-written", save_steps=2)
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"training_args.bin", "run.json"} <= {path.name for path in files}
    assert [path for path in files if b"not-to-be-written" in path.read_bytes()] == []
    assert trainer.args.hub_token == "hf_not-to-be-written"
