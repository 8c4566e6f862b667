from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from transformers_mcl import MclTrainer
from transformers_mcl.training.checkpoints import check_checkpoint, last_checkpoint

Make = Callable[..., MclTrainer]


class Terminate(TrainerCallback):
    """As a scheduler does, in the third step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"save_strategy": "no"},
        {
            "save_strategy": "epoch",
            "eval_strategy": "epoch",
            "per_device_train_batch_size": 16,
        },  # three steps an epoch
        {
            "save_steps": 1,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "save_total_limit": 1,
            "load_best_model_at_end": True,
            "metric_for_best_model": "rtd_disc_auc",
            "greater_is_better": False,
        },
    ],
    ids=["steps", "no saving", "epochs", "the best is kept"],
)
def test_one_checkpoint_is_saved_and_stays(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    trainer, saved = make_trainer(max_steps=9, **arguments), []
    save = MclTrainer._save_checkpoint

    def noted(self: MclTrainer, *args: Any) -> None:
        saved.append(self.state.global_step)
        save(self, *args)

    monkeypatch.setattr(MclTrainer, "_save_checkpoint", noted)
    trainer.add_callback(Terminate())
    trainer.train()
    assert trainer.stopped_by_signal
    assert trainer.state.global_step == 3
    assert saved.count(3) == 1
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-3")
    check_checkpoint(tmp_path / "checkpoint-3")
    assert not any("eval_loss" in entry for entry in trainer.state.log_history if entry["step"] == 3)


def test_the_signal_is_given_back_after_training(make_trainer: Make) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = make_trainer()
    trainer.train()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not trainer.stopped_by_signal


def test_the_signal_is_given_back_after_an_error(make_trainer: Make) -> None:
    class Fail(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            raise ZeroDivisionError

    before = signal.getsignal(signal.SIGTERM)
    trainer = make_trainer()
    trainer.add_callback(Fail())
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert signal.getsignal(signal.SIGTERM) is before
