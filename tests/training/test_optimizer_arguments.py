from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.trainer_utils import SchedulerType

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError


@pytest.mark.parametrize("optim", ["muon", "adamw_torch"])
def test_a_learning_rate_of_0_changes_no_weight(make_trainer: Callable[..., MclTrainer], optim: str) -> None:
    trainer = make_trainer(optim=optim, learning_rate=0, weight_decay=0.1)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())


def test_rates_beside_a_learning_rate_of_0_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="generator_learning_rate=0.001 needs a learning_rate above 0, not 0"):
        MclTrainingArguments(str(tmp_path), learning_rate=0, generator_learning_rate=1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lr_scheduler_type": "polynomial"}, "lr_scheduler_type=polynomial cannot be with learning_rate=0"),
        (
            {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
            "lr_scheduler_type=cosine_with_min_lr cannot be with learning_rate=0",
        ),
        ({"logging_steps": 0}, "requires non-zero --logging_steps"),
        ({"dataloader_prefetch_factor": 2}, "--dataloader_num_workers > 0"),
        ({"dataloader_persistent_workers": True}, "needs a dataloader_num_workers of 1 or more"),
    ],
)
def test_what_fits_nothing_else_is_refused_at_once(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        MclTrainingArguments(str(tmp_path), use_cpu=True, learning_rate=0, **given)
    assert "\n" not in str(error.value)


def test_every_schedule_of_transformers_is_taken(tmp_path: Path) -> None:
    needed: dict[str, Any] = {
        "warmup_stable_decay": {"lr_scheduler_kwargs": {"num_decay_steps": 0.1}},
        "cosine_with_min_lr": {"lr_scheduler_kwargs": {"min_lr": 1e-6}},
        "cosine_warmup_with_min_lr": {"lr_scheduler_kwargs": {"min_lr": 1e-6}},
        "reduce_lr_on_plateau": {"eval_strategy": "epoch"},
        "greedy": {"eval_strategy": "epoch"},
    }
    for kind in SchedulerType:
        MclTrainingArguments(str(tmp_path), use_cpu=True, lr_scheduler_type=kind, **needed.get(kind.value, {}))


def test_numbers_of_a_schedule_are_finite(tmp_path: Path) -> None:
    given: dict[str, Any] = {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": math.nan}}
    with pytest.raises(UserError, match=r"lr_scheduler_kwargs\['num_cycles'\]=nan must be finite"):
        MclTrainingArguments(str(tmp_path), **given)
