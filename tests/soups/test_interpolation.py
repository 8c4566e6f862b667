from __future__ import annotations

from typing import Any

import pytest
import torch

from transformers_mcl import MclForPreTraining
from transformers_mcl.soups.ingredients import open_ingredients
from transformers_mcl.soups.interpolation import barrier, load_average, measure_lines

from .conftest import MakeIngredient


def bend(model: Any) -> float:
    """A loss that is one of the weights."""
    return float(model.electra.encoder.layer[0].output.dense.weight[0, 0].detach())


def test_a_model_takes_on_the_average(make_ingredient: MakeIngredient) -> None:
    a, b = folders = [make_ingredient(name) for name in "ab"]
    model = MclForPreTraining.from_pretrained(a)
    load_average(model, open_ingredients(folders), [1, 3])
    ours, its = (MclForPreTraining.from_pretrained(folder).state_dict() for folder in (a, b))
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, 0.25 * ours[name] + 0.75 * its[name])
    assert model.generator.electra.embeddings.word_embeddings.weight is model.electra.embeddings.word_embeddings.weight


def test_lines_lead_from_one_to_the_other(make_ingredient: MakeIngredient) -> None:
    folders = [make_ingredient(name) for name in "abc"]
    a, b, c = (bend(MclForPreTraining.from_pretrained(folder)) for folder in folders)
    lines = measure_lines(open_ingredients(folders), MclForPreTraining.from_pretrained(folders[0]), bend, points=1)
    assert lines[0, 2] == pytest.approx([a, (a + c) / 2, c], rel=1e-5)
    assert list(lines) == [(0, 1), (0, 2), (1, 2)] and lines[1, 2][0] == pytest.approx(b, rel=1e-6)


def test_a_barrier_is_what_rises_above_the_chord() -> None:
    assert barrier([2, 3, 4]) == 0
    assert barrier([2, 5, 4]) == 2
    assert barrier([2, 1, 4]) == 0
    assert barrier([2, 2.5, 6, 2.5, 2]) == 4


def test_copies_have_no_barrier_and_strangers_have(make_ingredient: MakeIngredient) -> None:
    rows = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))

    def made(model: Any) -> torch.Tensor:
        layer = model.electra.encoder.layer[0]
        return layer.output.dense(torch.nn.functional.gelu(10 * layer.intermediate.dense(rows)))

    a, stranger = make_ingredient("a"), make_ingredient("b", start=1)
    targets = [made(MclForPreTraining.from_pretrained(folder)).detach() for folder in (a, stranger)]

    def loss(model: Any) -> float:
        """0 at both of them: a network is no linear function of its weights."""
        return min(float((made(model) - target).square().mean().detach()) for target in targets)

    lines = measure_lines(open_ingredients([a, a, stranger]), MclForPreTraining.from_pretrained(a), loss)
    assert barrier(lines[0, 1]) == 0
    assert barrier(lines[0, 2]) > 100 * lines[0, 2][0] and lines[0, 2][0] < 1e-9
