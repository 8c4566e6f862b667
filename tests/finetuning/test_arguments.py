"""What the arguments of a fine-tuning say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from transformers_mcl.errors import UserError
from transformers_mcl.finetuning.arguments import FinetuningArguments


def test_the_better_checkpoint_has_the_lower_error() -> None:
    def greater(metric: str) -> bool | None:
        return FinetuningArguments("x", use_cpu=True, metric_for_best_model=metric).greater_is_better

    assert [greater(name) for name in ("mse", "loss", "f1")] == [False, False, True]


def test_figures_are_over_all_examples() -> None:
    wrong: dict[str, Any] = {"prediction_loss_only": True, "batch_eval_metrics": True, "eval_do_concat_batches": False}
    for name, value in wrong.items():
        with pytest.raises(UserError, match="figures of a task are over all its examples: leave it out"):
            FinetuningArguments("x", use_cpu=True, **{name: value})
