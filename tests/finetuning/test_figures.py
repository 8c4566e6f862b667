"""Runs that diverged, and the best of those that did not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from transformers_mcl.finetuning.figures import best_result, diverged

from .conftest import SHAPE


def result(accuracy: float, **more: Any) -> dict[str, Any]:
    return {"main_metric": "accuracy", "metrics": {"accuracy": accuracy}, "diverged": False, **more}


def test_what_diverged_is_never_the_best() -> None:
    lost, low, high = result(0.9, diverged=True), result(0.5), result(0.6)
    assert best_result([lost, low, high, result(0.6)]) is high
    assert best_result([lost]) is None
    unmeasured = result(0, metrics={})
    assert best_result([unmeasured]) is unmeasured


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_or_a_loss_that_is_not_finite(value: float) -> None:
    model: Any = BertModel(BertConfig(vocab_size=9, **SHAPE))
    assert not diverged(model, {"eval_loss": 1.0, "eval_accuracy": value})
    assert diverged(model, {"eval_matched_loss": value, "eval_mismatched_loss": 1.0})
    torch.nn.init.constant_(model.encoder.layer[1].output.dense.bias, value)
    assert diverged(model, {})
