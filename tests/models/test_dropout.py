"""Dropout drops the share that it is asked for, anew in every call, and each element by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.models.pairs import make_pair
from transformers_mcl.models.dropout import CheapDropout, dropout

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])


@DTYPES
@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_share_scale_and_gradient(dtype: torch.dtype, p: float) -> None:
    torch.manual_seed(0)
    x = torch.full((1000, 401), 3.0, dtype=dtype, requires_grad=True)
    dropped = dropout(x, p)
    scale = torch.tensor(1 / (1 - p), dtype=dtype)
    assert set(dropped.unique().tolist()) == {0.0, (3 * scale).item()}
    zero = (dropped == 0).float()
    assert zero.mean().item() == pytest.approx(p, abs=0.004)  # five standard errors
    # Four elements are made of one number: none is more likely than another, nor like its neighbour.
    lanes = zero.flatten()[: 4 * 100_000].view(-1, 4)
    torch.testing.assert_close(lanes.mean(0), torch.full((4,), p), rtol=0, atol=0.008)
    assert (lanes.T.corrcoef() - torch.eye(4)).abs().max() < 0.016
    dropped.sum().backward()
    assert x.grad is not None
    assert x.grad.equal(torch.where(zero.bool(), torch.zeros((), dtype=dtype), scale))


def test_nothing_and_all() -> None:
    x = torch.ones(3, 5)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.3, training=False) is x
    assert dropout(x, 1.0).equal(torch.zeros(3, 5))
    assert dropout(x, 1e-9).equal(x * (1 / (1 - 1e-9)))
    assert dropout(x[:, :0], 0.1).shape == (3, 0)


def test_a_seed_gives_the_same_and_a_call_another() -> None:
    x = torch.ones(64, 64)
    torch.manual_seed(5)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(5)
    assert dropout(x, 0.5).equal(first)
    assert not second.equal(first)


def test_strides_do_not_matter() -> None:
    x = torch.arange(1.0, 13.0).view(3, 4).T
    torch.manual_seed(0)
    dropped = dropout(x, 0.5)
    assert dropped[dropped != 0].equal(2 * x[dropped != 0])


def test_compiled_it_is_the_same_and_no_two_calls_are_one() -> None:
    """With a gradient, where torch looks for what is computed twice."""

    def twice(x: Tensor) -> tuple[Tensor, Tensor]:
        return dropout(x, 0.5), dropout(x, 0.5)

    x = torch.ones(8, 33, requires_grad=True)
    torch.manual_seed(1)
    expected = twice(x)
    torch.manual_seed(1)
    found = torch.compile(twice, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not found[0].equal(found[1])
    (gradient,) = torch.autograd.grad(found[0].sum() + 3 * found[1].sum(), x)
    assert gradient.equal(expected[0] + 3 * expected[1])


@pytest.mark.parametrize("kind", ["mcl", "bert", "modernbert", "deberta-v3"])
def test_every_dropout_of_a_pair_is_cheap(kind: str) -> None:
    kinds = {type(module) for module in make_pair(kind).modules() if isinstance(module, nn.Dropout)}
    assert kinds <= {CheapDropout}
