"""A compiled step on the device is one graph, and computes what an uncompiled one does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters

from transformers_mcl import MclTrainer

from .conftest import SLOW_ON_A_CPU, make_pair, on

pytestmark = SLOW_ON_A_CPU


@pytest.mark.parametrize("objective", ["electra", "mcl"])
def test_step_is_one_graph_and_computes_the_same(objective: str, device: str) -> None:
    pair, inputs = make_pair(device, objective=objective, num_hidden_layers=1), on(device, "none")
    # On a CPU the graph is made and not translated, which takes a minute.
    counter = CompileCounterWithBackend("inductor" if device == "cuda" else "eager")
    compiled = torch.compile(pair, fullgraph=True, dynamic=False, backend=counter)

    def step(call: Any) -> dict[str, Tensor]:
        torch.manual_seed(7)
        pair.zero_grad()
        output = call(**inputs)
        output.loss.backward()
        return {**output.losses, **{name: p.grad for name, p in pair.named_parameters() if p.grad is not None}}

    # So that both draw the same.
    with torch._inductor.config.patch(fallback_random=True):
        expected, found = step(pair), step(compiled)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        step(compiled)
    assert counter.frame_count == 1


@pytest.mark.parametrize("objective", ["electra", "mcl"])
def test_a_compiled_run_trains(objective: str, device: str, trainer: Callable[..., MclTrainer]) -> None:
    torch.compiler.reset()
    counters.clear()
    backend = "inductor" if device == "cuda" else "eager"
    config = {"objective": objective, "num_hidden_layers": 1}
    made = trainer(config, max_steps=3, logging_steps=1, torch_compile=True, torch_compile_backend=backend)
    made.train()
    losses = [log["loss"] for log in made.state.log_history if "loss" in log]
    assert len(losses) == 3
    assert all(math.isfinite(loss) for loss in losses)
    assert not counters["graph_break"]
    # One a pass; MCL's insertion has rows of another length, with padding.
    assert counters["stats"]["unique_graphs"] == {"electra": 2, "mcl": 4}[objective]
