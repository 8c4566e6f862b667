"""`torch.compile` makes one graph of all courses: nothing in them reads the device or depends on the data's shape."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from transformers_mcl import MclConfig, MclForPreTraining


@pytest.fixture
def model() -> MclForPreTraining:
    torch.manual_seed(0)
    config = MclConfig(
        vocab_size=150,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        generator_hidden_size=8,
        generator_num_attention_heads=1,
        max_position_embeddings=24,  # inserting 3 drops 1: the limit is in the graph too
    )
    return MclForPreTraining(config).train()


def trained(model: MclForPreTraining, call: Any, **batch: Tensor) -> tuple[dict[str, Tensor], list[Tensor | None]]:
    """Losses and gradients of a step on the same draws."""
    torch.manual_seed(7)
    model.zero_grad()
    output = call(**batch)
    output.loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return {**output.losses, "loss": output.loss.detach()}, gradients


@pytest.mark.parametrize(
    "rows",
    ["packed", "whole words", *(pytest.param(rows, marks=pytest.mark.slow) for rows in ("padded", "documents apart"))],
)
def test_all_courses_are_one_graph_and_compute_the_same(model: MclForPreTraining, rows: str) -> None:
    batch = {"input_ids": torch.randint(104, 150, (2, 22))}
    if rows == "documents apart":
        model.config.document_attention = True
        batch["input_ids"][0, [0, 5, 13]] = model.config.cls_token_id
    elif rows == "whole words":
        model.config.whole_word_mask = True
        batch["word_starts"] = torch.rand(2, 22) < 0.6
    elif rows == "padded":
        batch["attention_mask"] = (torch.arange(22) < torch.tensor([[22], [9]])).long()
    counter = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, dynamic=False, backend=counter)
    losses, gradients = trained(model, compiled, **batch)
    expected, expected_gradients = trained(model, model, **batch)
    assert losses.keys() == {*model.loss_weights, "loss"}
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=0)
    # Another batch of the shape, whose notebook is another, runs the same graph.
    trained(model, compiled, **{**batch, "input_ids": torch.randint(104, 150, (2, 22))})
    assert counter.frame_count == 1


def test_a_pair_with_compiled_passes_is_copied_and_pickled(model: MclForPreTraining) -> None:
    ids = torch.randint(104, 150, (2, 22))
    expected = model.eval().encode(ids, None)
    model.compile_passes("eager")
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.encode(ids, None).equal(expected)
        with torch.no_grad():
            again.electra.embeddings.word_embeddings.weight.zero_()
        assert not again.encode(ids, None).equal(expected)  # its own weights
        assert model.encode(ids, None).equal(expected)


@pytest.mark.slow
def test_weights_and_shapes_may_change_between_steps(model: MclForPreTraining) -> None:
    """Courses that begin later, and shorter rows at first; each is compiled once more, and no more."""
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    whole = model.loss_weights
    for weights in ({"mlm": 1.0, "rtd": 50.0}, whole, {**whole, "std": 25.0}):
        model.loss_weights = weights
        for length in (22, 12, 22):
            batch = {"input_ids": torch.randint(104, 150, (2, length))}
            assert set(compiled(**batch).losses) == {name for name, weight in weights.items() if weight}
            for expected, found in zip(trained(model, model, **batch), trained(model, compiled, **batch), strict=True):
                torch.testing.assert_close(found, expected)
    assert counter.frame_count <= 6
