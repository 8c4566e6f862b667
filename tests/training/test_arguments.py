from __future__ import annotations

from pathlib import Path

import pytest
from transformers import TrainingArguments

from transformers_mcl import MclTrainingArguments, UserError


def test_takes_everything_of_training_arguments(tmp_path: Path) -> None:
    arguments = MclTrainingArguments(output_dir=str(tmp_path), learning_rate=1e-3, use_cpu=True)
    assert isinstance(arguments, TrainingArguments)
    assert arguments.learning_rate == 1e-3
    assert arguments.logging_nan_inf_filter is False


@pytest.mark.parametrize("name", ["course_warmup_steps", "correction_warmup_steps"])
def test_negative_course_warmup_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name}=-1"):
        MclTrainingArguments(**{"output_dir": str(tmp_path), name: -1})  # type: ignore[arg-type]
