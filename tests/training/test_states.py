"""What a checkpoint holds beside weights fits the run, or is refused by the name of its file before a step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.damages import STATES
from transformers_mcl import MclTrainer, UserError
from transformers_mcl.training.checkpoints import check_checkpoint
from transformers_mcl.training.states import check_like, check_stream_state, fitting

Make = Callable[..., MclTrainer]


def resume(trainer: MclTrainer, checkpoint: Path) -> list[int]:
    """Goes on from a checkpoint as the commands do; the steps that were begun."""
    begun: list[int] = []
    step = trainer.training_step
    trainer.training_step = lambda *a, **k: begun.append(trainer.state.global_step) or step(*a, **k)  # type: ignore
    check_checkpoint(checkpoint)
    trainer.check_resumable(str(checkpoint))
    trainer.train(resume_from_checkpoint=str(checkpoint))
    return begun


@pytest.mark.parametrize("file", STATES)
def test_what_does_not_fit_is_named_before_a_step(file: str, make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2, max_steps=2).train()
    path, trainer = tmp_path / "checkpoint-2" / file, make_trainer()
    whole = path.read_bytes()
    for name, damage in STATES[file].items():
        path.write_bytes(whole)
        damage(path)
        trainer.optimizer = trainer.lr_scheduler = None
        with pytest.raises(UserError) as refused:
            check_checkpoint(path.parent)
            trainer.check_resumable(str(path.parent))
        assert f"resume_from_checkpoint: {path} " in str(refused.value), name


@pytest.mark.parametrize(
    "given",
    [
        {"optim": "adafactor"},
        {"optim": "sgd"},
        {"optim": "sgd", "optim_args": "momentum=0.9"},
        {"optim": "muon"},
        {"generator_learning_rate": 1e-3},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 1},
    ],
    ids=str,
)
def test_what_fits_goes_on(given: dict[str, Any], make_trainer: Make, tmp_path: Path) -> None:
    (unbroken := make_trainer(save_steps=2, **given)).train()
    assert resume(again := make_trainer(**given), tmp_path / "checkpoint-2") == [2, 3]
    for name, value in unbroken.model.state_dict().items():
        assert again.model.state_dict()[name].equal(value), name


def test_muon_is_tried_as_others_are(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2, optim="muon").train()
    file = tmp_path / "checkpoint-2" / "optimizer.pt"
    saved = torch.load(file)
    for state in saved["state"].values():
        if "momentum_buffer" in state:
            state["momentum_buffer"] = state["momentum_buffer"][:1]
    torch.save(saved, file)
    trainer = make_trainer(optim="muon")
    trainer.training_step = lambda *_, **__: pytest.fail("a step was begun")  # type: ignore[method-assign]
    wrong = r"optimizer.pt does not fit this run \(momentum_buffer is of shape \(1, 16\), not of shape \(16, 16\)\)"
    with pytest.raises(UserError, match=wrong):
        trainer.train(resume_from_checkpoint=str(file.parent))


def test_a_scaler_must_be_one(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2).train()
    scaler = torch.amp.GradScaler("cpu")
    checkpoint = tmp_path / "checkpoint-2"
    file = checkpoint / "scaler.pt"
    good = scaler.state_dict()
    trainer = make_trainer()
    trainer.accelerator.scaler = scaler
    for bad in ([1], {}, {**good, "scale": "text"}, {**good, "scale": float("nan")}, {**good, "growth_interval": [1]}):
        torch.save(bad, file)
        with pytest.raises(UserError, match=r"scaler.pt does not fit this run"):
            trainer._load_scaler(str(checkpoint))
    torch.save({**good, "scale": 8.0}, file)
    trainer._load_scaler(str(checkpoint))
    assert scaler.state_dict()["scale"] == 8.0
    assert resume(make_trainer(), checkpoint) == [2, 3]  # what was trained in fp16 goes on without


def test_a_place_in_a_stream_is_numbers() -> None:
    place = {"places": [{"epoch": 0, "piece": 1, "document": 2}], "draws": 3, "rest": [4], "row": 5}
    good: dict[str, Any] = {"stream": {}, "epoch": 0.5, "batches": 2, "positions": {"0": place}}
    check_stream_state(json.loads(json.dumps(good)))
    bad: list[Any] = [[1], {**good, "batches": "2"}, {**good, "stream": 3}, {**good, "positions": [1]}]
    bad += [{**good, "positions": {"first": place}}, {**good, "positions": {"0": []}}, {**good, "epoch": "one"}]
    for name, value in (("places", [{"epoch": 0.5}]), ("places", 1), ("draws", -1), ("rest", ["a"]), ("row", None)):
        bad.append({**good, "positions": {"0": {**place, name: value}}})
    for state in bad:
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
            check_stream_state(state)


def test_what_is_alike() -> None:
    own = {"rate": [1e-3, 1e-3], "best": float("inf"), "of": None, "name": "a"}
    saved: Any
    for saved in ({}, {"rate": [1, 0.5]}, {"best": float("inf"), "of": [1], "name": "b", "more": 1}):
        check_like(saved, own)
    for saved in ({"rate": [1]}, {"rate": (1, 1)}, {"rate": [1, float("nan")]}, {"name": 1}, {"best": "best"}, [1]):
        with pytest.raises(ValueError, match=r"values|is a|nan"):
            check_like(saved, own)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_lack_of_memory_is_not_the_files(error: type[Exception], tmp_path: Path) -> None:
    """Or a whole checkpoint would be moved away."""
    with pytest.raises(error), fitting(tmp_path):
        raise error
