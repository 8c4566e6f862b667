"""What the arguments of a fine-tuning say of themselves."""

from __future__ import annotations

from transformers_mcl.finetuning.arguments import FinetuningArguments


def test_the_better_checkpoint_has_the_lower_error() -> None:
    def greater(metric: str) -> bool | None:
        return FinetuningArguments("x", use_cpu=True, metric_for_best_model=metric).greater_is_better

    assert [greater(name) for name in ("mse", "loss", "f1")] == [False, False, True]
