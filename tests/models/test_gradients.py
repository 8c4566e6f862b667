"""Where the gradients of the pair's losses go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.method.courses import COURSES, all_losses

from .pairs import MCL, gradients, seeded, undecided

Configs = Callable[..., MclConfig]
Batches = Callable[[str], dict[str, Any]]
GENERATOR, DISCRIMINATOR = "generator.", "electra."


@pytest.mark.parametrize("heads", ["per_course", "shared"])
@pytest.mark.parametrize("name", all_losses())
def test_each_loss_trains_its_own_network_only(name: str, heads: str, config: Configs, batch: Batches) -> None:
    """Nothing flows from the discriminator's losses into the generator through its samples, nor the other way."""
    fields = {"detection_heads": heads, "mask_ratio": 0.4, "swap_ratio": 0.4}
    model = undecided(MclForPreTraining(config(**fields)), inputs := batch("right"))
    model.loss_weights = {name: 1.0}
    output = model(**inputs, generator=seeded())
    assert output.losses[name] > 0
    output.loss.backward()
    shared = "electra.embeddings.word_embeddings.weight"
    touched = {k for k, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    course = name.removeprefix("re_")
    if course in COURSES:
        head = (
            "discriminator_predictions." if course == "rtd" or heads == "shared" else f"course_predictions.{course}."
        )
        expected = {k for k, _ in model.named_parameters() if k.startswith((DISCRIMINATOR, head))}
    else:
        expected = {k for k, _ in model.named_parameters() if k.startswith(GENERATOR)} | {shared}
    assert touched == expected


@pytest.mark.parametrize("shares", ["token", "all"])
def test_gradients_of_the_losses_of_a_course_add_up(shares: str, config: Configs, batch: Batches) -> None:
    """Also in what the two networks share: the sum of the generator's part and the discriminator's, and no more."""
    model = undecided(MclForPreTraining(config(generator_shares=shares, swap_ratio=0.3)), inputs := batch("none"))

    def run(weights: dict[str, float]) -> dict[str, Tensor]:
        model.loss_weights = weights
        model.zero_grad()
        model(**inputs, courses=("std",), generator=seeded()).loss.backward()
        return gradients(model)

    together = run(MCL)
    total: dict[str, Tensor] = {}
    for name in ("slm", "std", "re_slm", "re_std"):
        for key, gradient in run({name: 1.0}).items():
            total[key] = total.get(key, torch.zeros(())) + MCL[name] * gradient
    torch.testing.assert_close({key: total[key] for key in together}, together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("objective", ["mcl", "electra"])
@pytest.mark.parametrize("heads", ["per_course", "shared"])
@pytest.mark.parametrize("shares", ["token", "all"])
def test_every_parameter_changes_in_a_training_step(
    objective: str, heads: str, shares: str, config: Configs, batch: Batches
) -> None:
    model = MclForPreTraining(config(objective=objective, detection_heads=heads, generator_shares=shares)).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    model(**batch("right")).loss.backward()
    optimizer.step()
    assert [name for name, p in model.named_parameters() if p.equal(before[name])] == []
