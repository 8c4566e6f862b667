"""Steps in 16 bits are in 16 bits, finite, and train."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from transformers_mcl import MclTrainer

from .conftest import skip_without


@pytest.mark.parametrize("objective", ["electra", "mcl"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_steps_are_finite_and_train(
    precision: str, objective: str, device: str, trainer: Callable[..., MclTrainer]
) -> None:
    skip_without(precision, device)
    # In float16 the first steps find the scale of the loss, and are left out.
    steps = 12 if precision == "fp16" else 3
    made = trainer({"objective": objective}, max_steps=steps, logging_steps=1, **{precision: True})
    kinds = set()
    made.model.electra.encoder.layer[0].intermediate.dense.register_forward_hook(
        lambda module, inputs, output: kinds.add(output.dtype)
    )
    before = {name: value.detach().clone() for name, value in made.model.named_parameters()}
    made.train()
    losses = [log["loss"] for log in made.state.log_history if "loss" in log]
    assert len(losses) == steps
    assert all(math.isfinite(loss) for loss in losses)
    assert kinds == {torch.bfloat16 if precision == "bf16" else torch.float16}
    for name, value in made.model.named_parameters():
        assert value.dtype == torch.float32
        assert value.device.type == device
        assert value.isfinite().all(), name
        # The gradient of the keys' bias is zero but for rounding.
        assert name.endswith("key.bias") or not value.equal(before[name].to(device)), name
