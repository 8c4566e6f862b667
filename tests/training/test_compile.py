"""`--torch_compile`: one graph a pass, for every schedule, made in the first steps and never again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch._dynamo.utils import counters
from transformers import TrainerCallback

from transformers_mcl import MclTrainer
from transformers_mcl.method.courses import OBJECTIVES

Trainers = Callable[..., MclTrainer]
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Graphs(TrainerCallback):
    """Graphs made until the end of each step, evaluation included."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.made.append(counters["stats"]["unique_graphs"])


def compiled(make_trainer: Trainers, schedule: str, mask: bool, **arguments: Any) -> MclTrainer:
    """Batches of 7 of 48 rows, so that an epoch's last has 6, and courses in turn have 2 or 3."""
    config: dict[str, Any] = {"course_schedule": schedule, "hidden_dropout_prob": 0.1}
    if schedule == "joint":
        config["loss_weights"] = {name: w for name, w in OBJECTIVES["mcl"].items() if not name.startswith("re_")}
    trainer = make_trainer(
        config,
        per_device_train_batch_size=7,
        per_device_eval_batch_size=7,
        torch_compile=True,
        **{"torch_compile_backend": "eager", "max_steps": 12, "save_strategy": "no", **arguments},
    )
    if mask:
        trainer.train_dataset, trainer.eval_dataset = (
            _padded(rows) for rows in (trainer.train_dataset, trainer.eval_dataset)
        )
    return trainer


def _padded(rows: Any) -> Dataset:
    whole = torch.tensor(rows["input_ids"])
    mask = torch.ones_like(whole)
    mask[::3, -5:] = 0
    return Dataset.from_dict({"input_ids": (whole * mask).tolist(), "attention_mask": mask.tolist()})


@pytest.mark.parametrize(
    ("schedule", "mask"),
    [
        ("sampled", False),
        pytest.param("sampled", True, marks=slow),
        pytest.param("all", False, marks=slow),
        pytest.param("all", True, marks=slow),
        pytest.param("joint", False, marks=slow),
        pytest.param("joint", True, marks=slow),
    ],
)
def test_no_graph_is_made_after_the_first_steps(make_trainer: Trainers, schedule: str, mask: bool) -> None:
    trainer = compiled(make_trainer, schedule, mask, eval_strategy="steps", eval_steps=2)
    trainer.add_callback(graphs := Graphs())
    trainer.train()
    assert graphs.made[0] > 0
    assert graphs.made[4:] == graphs.made[4:5] * 8  # an epoch ends at step 7
    assert not counters["graph_break"]


@pytest.mark.parametrize("schedule", ["sampled", pytest.param("all", marks=slow), pytest.param("joint", marks=slow)])
def test_a_compiled_run_is_the_run_and_resumes_bit_equal(
    make_trainer: Trainers, schedule: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2, "logging_steps": 1}
    if schedule == "all":  # torch's "eager" draws other numbers when it computes a layer again
        arguments |= {"activation_checkpointing": True, "torch_compile_backend": "aot_eager"}
    whole = compiled(make_trainer, schedule, False, **arguments)
    whole.train()
    resumed = compiled(make_trainer, schedule, False, **arguments)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    plain = compiled(make_trainer, schedule, False, **arguments)
    plain.model._encode, plain.model._predict_at = type(plain.model)._encode, type(plain.model)._predict_at
    plain.train()
    for name, value in whole.model.state_dict().items():
        assert resumed.model.state_dict()[name].equal(value), name
        assert plain.model.state_dict()[name].equal(value), name
