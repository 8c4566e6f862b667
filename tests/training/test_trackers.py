"""What TensorBoard, wandb and trackio are given: TensorBoard really, the others by stand-ins that record the calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerState
from transformers.integrations.integration_utils import TensorBoardCallback, TrackioCallback, WandbCallback

from transformers_mcl import MclTrainer
from transformers_mcl.method.courses import COURSES, all_losses
from transformers_mcl.training.trackers import group_by_course, panel_name

Make = Callable[..., MclTrainer]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("train/rtd_disc_auc", "rtd/disc_auc"),
        ("eval/rtd_disc_auc", "rtd/disc_auc_eval"),
        ("test/std_sampled_masked_lm_accuracy", "std/sampled_masked_lm_accuracy_test"),
        ("train/re_slm_loss", "std/re_slm_loss"),
        ("eval/mlm_loss", "rtd/mlm_loss_eval"),
        ("train/rtd_notebook_pos4", "rtd/notebook_pos4"),
        ("train/loss", "train/loss"),
        ("eval/loss", "eval/loss"),
        ("train/global_step", "train/global_step"),
        ("rtd_disc_auc", "rtd_disc_auc"),
    ],
)
def test_panel_name(name: str, shown: str) -> None:
    assert panel_name(name) == shown


def test_tensorboard_shows_a_panel_a_course(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer = make_trainer(report_to=["tensorboard"], eval_strategy="steps", eval_steps=2)
    trainer.train()
    events = event_accumulator.EventAccumulator(str(tmp_path / "events")).Reload()
    tags = events.Tags()["scalars"]
    panels = {panel: {tag.split("/")[1] for tag in tags if tag.startswith(panel + "/")} for panel in COURSES}
    losses = {name: {f"{loss.name}_loss" for loss in course.losses} for name, course in COURSES.items()}
    for course, panel in panels.items():
        held_out = {name for name in panel if name.endswith("_eval")}
        assert {f"{name}_eval" for name in losses[course] | {"disc_auc"}} <= held_out
        assert losses[course] | {"disc_auc", "disc_recall"} <= panel - held_out
    figures = {tag.split("/")[1] for tag in tags if tag.split("/")[0] in ("train", "eval")}
    assert {"loss", "learning_rate", "tokens_per_second", "train_tokens_seen"} <= figures
    assert not [name for name in figures if name in {f"{loss}_loss" for loss in all_losses()} or "disc" in name]
    logged = {log["step"]: log["rtd_disc_auc"] for log in trainer.state.log_history if "rtd_disc_auc" in log}
    assert {event.step: event.value for event in events.Scalars("rtd/disc_auc")} == pytest.approx(logged, rel=1e-6)


def test_a_writer_of_the_users_own_is_kept() -> None:
    pytest.importorskip("tensorboard")
    calls: list[tuple[str, float, int]] = []
    callback = TensorBoardCallback(SimpleNamespace(add_scalar=lambda *call: calls.append(call), flush=lambda: None))
    group_by_course(callback)
    state = TrainerState(global_step=3)
    callback.on_log(None, state, None, {"itd_disc_auc": 0.5, "eval_loss": 1.0})
    assert calls == [("itd/disc_auc", 0.5, 3), ("eval/loss", 1.0, 3)]


@pytest.mark.parametrize(("kind", "client"), [(WandbCallback, "_wandb"), (TrackioCallback, "_trackio")])
def test_wandb_and_trackio_show_a_panel_a_course(kind: Any, client: str) -> None:
    """Without their packages: transformers' callback, with an object in the client's place that records the calls."""
    calls: list[dict[str, float]] = []
    callback = kind.__new__(kind)
    callback._initialized = True
    setattr(callback, client, SimpleNamespace(log=calls.append, run=SimpleNamespace(summary={}), finish=len))
    group_by_course(callback)
    callback.on_log(None, TrainerState(global_step=3), None, logs={"rtd_disc_auc": 0.5, "loss": 1.0, "mlm_loss": 2.0})
    callback.on_log(None, TrainerState(global_step=4), None, logs={"eval_rtd_disc_auc": 0.6, "train_runtime": 7.0})
    callback.on_predict(None, TrainerState(global_step=4), None, {"test_rtd_disc_auc": 0.7})
    assert calls == [
        {"rtd/disc_auc": 0.5, "train/loss": 1.0, "rtd/mlm_loss": 2.0, "train/global_step": 3},
        {"rtd/disc_auc_eval": 0.6, "train/global_step": 4},
        {"rtd/disc_auc_test": 0.7},
    ]
    assert getattr(callback, client).finish is len  # all else is the client's own
