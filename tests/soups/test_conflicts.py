from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.method.courses import all_losses
from transformers_mcl.soups.conflicts import loss_gradients, measure_conflicts
from transformers_mcl.training.seeds import stream_seed

from .conftest import SIZES


@pytest.fixture
def model() -> MclForPreTraining:
    """Trained without two of the corrections; with dropout."""
    torch.manual_seed(0)
    weights = dict.fromkeys(("mlm", "slm", "rtd", "std", "itd", "re_mlm", "re_rtd"), 2.0)
    pair: Any = MclForPreTraining(MclConfig(**SIZES, loss_weights=weights, initializer_range=0.2))
    return pair.eval()


@pytest.fixture
def batches() -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    rows = torch.randint(5, 150, (2, 4, 16))
    rows[:, :, 0], rows[:, :, -1] = 101, 102
    return [{"input_ids": ids} for ids in rows]


def test_cosines_are_those_of_each_loss_alone(model: MclForPreTraining, batches: list[dict[str, Any]]) -> None:
    found = measure_conflicts(model, batches, seed=3)
    assert found.losses == list(all_losses()) and found.batches == 2
    expected = []
    for number, batch in enumerate(batches):
        gradients = {}
        for name in ("rtd", "std", "mlm"):
            # The same draws, everything computed, and only one loss with a weight that counts.
            model.loss_weights = {loss: 2.0 if loss == name else 1e-30 for loss in all_losses()}
            model(**batch, generator=torch.Generator().manual_seed(stream_seed(3, number))).loss.backward()
            gradients[name] = {key: p.grad.flatten() for key, p in model.named_parameters() if p.grad is not None}
            model.zero_grad(set_to_none=True)
        expected.append(
            [_cosine(gradients, "rtd", "std", ""), _cosine(gradients, "mlm", "rtd", "electra.embeddings.word")]
        )
        norm = torch.cat(list(gradients["mlm"].values())).norm()
    rtd, std, mlm = (found.losses.index(name) for name in ("rtd", "std", "mlm"))
    both, shared = np.mean(expected, axis=0)
    assert found.cosines[rtd, std] == pytest.approx(both, rel=1e-4)
    assert found.shared_cosines[mlm, rtd] == pytest.approx(shared, rel=1e-4)
    assert found.norms[mlm] == pytest.approx(norm.item(), rel=0.3)  # the other batch's differs


def _cosine(gradients: dict[str, dict[str, torch.Tensor]], one: str, other: str, prefix: str) -> float:
    keys = [key for key in gradients["rtd"] if key.startswith(prefix)]
    ours, its = (
        torch.cat([gradients[loss].get(key, torch.zeros_like(gradients["rtd"][key])) for key in keys])
        for loss in (one, other)
    )
    return torch.cosine_similarity(ours, its, dim=0).item()


def test_the_model_is_left_as_it_was(model: MclForPreTraining, batches: list[dict[str, Any]]) -> None:
    before, state, weights = torch.get_rng_state(), model.state_dict(), dict(model.loss_weights)
    measure_conflicts(model, batches, dropout=True)
    assert torch.equal(before, torch.get_rng_state()) and dict(model.loss_weights) == weights and not model.training
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_losses_reach_their_half(model: MclForPreTraining, batches: list[dict[str, Any]]) -> None:
    gradients = loss_gradients(model, batches[0])
    shared = "electra.embeddings.word_embeddings.weight"
    assert list(gradients) == ["mlm", "rtd", "re_mlm", "re_rtd", "slm", "std", "itd"]  # of the weights it has
    assert all(key.startswith("generator.") for key in gradients["mlm"] if key != shared)
    assert not any(key.startswith("generator.") for key in gradients["rtd"]) and shared in gradients["rtd"]
