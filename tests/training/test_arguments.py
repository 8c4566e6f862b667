from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.training.argument_ranges import _RANGES

from .conftest import LENGTH

NOT_NUMBERS = [math.nan, math.inf, -math.inf]
# By name of the argument, what no run can have; infinity as a gradient's largest norm clips nothing.
REFUSED: dict[str, list[float]] = {
    "learning_rate": [-1e-3],
    "muon_learning_rate": [0, -1],
    "generator_learning_rate": [0, -1],
    "weight_decay": [-0.1],
    "adam_beta1": [-0.1, 1],
    "adam_beta2": [-0.1, 1],
    "adam_epsilon": [0, -1e-8],
    "num_train_epochs": [0, -1],
    "max_steps": [0, -2],
    "warmup_steps": [-1],
    "course_warmup_steps": [-1],
    "correction_warmup_steps": [-1],
    "batch_size_warmup_steps": [-1],
    "batch_size_warmup_start": [0, -1],
    "length_warmup_steps": [-1],
    "logging_steps": [-1],
    "eval_steps": [-1],
    "eval_delay": [-1],
    "save_steps": [-1],
    "save_total_limit": [-1],
    "per_device_train_batch_size": [0, -1],
    "per_device_eval_batch_size": [0, -1],
    "gradient_accumulation_steps": [0, -1],
    "eval_accumulation_steps": [0, -1],
    "torch_empty_cache_steps": [0, -1],
    "dataloader_num_workers": [-1],
    "dataloader_prefetch_factor": [0, -1],
    "ddp_bucket_cap_mb": [0],
    "ddp_timeout": [0, -1],
    "seed": [-1, 2**32, 1.5],
    "data_seed": [-1, 2**32],
    "eval_seed": [-1, 2**63],
    "peak_flops": [0, -1],
}


def test_takes_everything_of_training_arguments(tmp_path: Path) -> None:
    arguments = MclTrainingArguments(output_dir=str(tmp_path), learning_rate=1e-3, use_cpu=True)
    assert isinstance(arguments, TrainingArguments)
    assert arguments.learning_rate == 1e-3
    assert arguments.logging_nan_inf_filter is False


@pytest.mark.parametrize("name", ["course_warmup_steps", "correction_warmup_steps"])
def test_negative_course_warmup_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name}=-1"):
        MclTrainingArguments(**{"output_dir": str(tmp_path), name: -1})  # type: ignore[arg-type]


def test_the_operations_that_are_planned_are_those_that_are_done(make_trainer: Callable[..., MclTrainer]) -> None:
    """Replaced token detection alone for two steps, then no corrections for two, then all."""
    late = {"course_warmup_steps": 2, "correction_warmup_steps": 0.67, "gradient_accumulation_steps": 2}
    trainer = make_trainer(max_steps=6, **late)
    trainer.train()
    planned = trainer.args.planned_flops(trainer.model.config, 6, LENGTH)
    assert trainer.state.total_flos == pytest.approx(planned, rel=1e-6)
    assert planned < 0.7 * make_trainer(max_steps=6).args.planned_flops(trainer.model.config, 6, LENGTH) * 2


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in [*values, *NOT_NUMBERS]]
)
def test_numbers_that_no_run_can_have_are_refused_in_one_line(tmp_path: Path, name: str, value: Any) -> None:
    optim = {"optim": "muon"} if name == "muon_learning_rate" else {}
    with pytest.raises(UserError, match=rf"^{name}={re.escape(str(value))} must be ") as error:
        MclTrainingArguments(**{"output_dir": str(tmp_path), "use_cpu": True, name: value, **optim})
    assert "\n" not in str(error.value)
    assert math.isfinite(value) != ("finite" in str(error.value))


def test_every_number_of_the_arguments_has_a_range() -> None:
    kinds = {f.name: str(f.type) for f in fields(MclTrainingArguments)}
    numbers = {name for name, kind in kinds.items() if re.search(r"\b(int|float)\b", kind) and "list" not in kind}
    assert numbers - {"local_rank"} <= set(_RANGES)


@pytest.mark.parametrize("value", [-1, math.nan, -math.inf])
def test_a_largest_norm_may_be_infinite(tmp_path: Path, value: float) -> None:
    assert MclTrainingArguments(str(tmp_path), max_grad_norm=math.inf).max_grad_norm == math.inf
    with pytest.raises(UserError, match="max_grad_norm="):
        MclTrainingArguments(str(tmp_path), max_grad_norm=value)


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
    ("name", "value"), [("max_steps", 2.5), ("save_total_limit", 1.5), ("dataloader_num_workers", 0.5), ("seed", 1.5)]
)
def test_counts_are_whole(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{name}={value} must be .*, and whole"):
        MclTrainingArguments(**{"output_dir": str(tmp_path), name: value})


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
    with pytest.raises(UserError, match="lr_scheduler_kwargs: num_cycles=nan must be finite"):
        MclTrainingArguments(str(tmp_path), **given)
