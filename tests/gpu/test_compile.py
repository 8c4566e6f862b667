"""A compiled step on the device is one graph, and computes what an uncompiled one does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

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
