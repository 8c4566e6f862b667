from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import TrainingArguments

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError

from .conftest import LENGTH


def test_takes_everything_of_training_arguments(tmp_path: Path) -> None:
    arguments = MclTrainingArguments(output_dir=str(tmp_path), learning_rate=1e-3, use_cpu=True)
    assert isinstance(arguments, TrainingArguments)
    assert arguments.learning_rate == 1e-3
    assert arguments.logging_nan_inf_filter is False


@pytest.mark.parametrize("name", ["generator_warmup_steps", "course_warmup_steps", "correction_warmup_steps"])
def test_negative_course_warmup_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name}=-1"):
        MclTrainingArguments(**{"output_dir": str(tmp_path), name: -1})  # type: ignore[arg-type]


def test_the_operations_that_are_planned_are_those_that_are_done(make_trainer: Callable[..., MclTrainer]) -> None:
    """The generator alone for a step, replaced token detection for another, then no corrections for two, then all."""
    late = {"generator_warmup_steps": 1, "course_warmup_steps": 2, "correction_warmup_steps": 0.67}
    late["gradient_accumulation_steps"] = 2
    trainer = make_trainer(max_steps=6, **late)
    trainer.train()
    planned = trainer.args.planned_flops(trainer.model.config, 6, LENGTH)
    assert trainer.state.total_flos == pytest.approx(planned, rel=1e-6)
    assert planned < 0.7 * make_trainer(max_steps=6).args.planned_flops(trainer.model.config, 6, LENGTH) * 2
