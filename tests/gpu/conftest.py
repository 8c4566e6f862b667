"""Checks for a GPU, each of which is the same test on the CPU: `make test-gpu` runs the ones, `make test` the others.

Shapes are small enough for any card, and such that a GPU's own kernels take them: heads of 16.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers.utils.import_utils import enable_tf32

from tests.models.conftest import make_batch, make_config
from tests.training.conftest import make_trainer, rows  # noqa: F401  fixtures
from transformers_mcl import MclForPreTraining, MclTrainer

__all__ = ["SHAPE", "SLOW_ON_A_CPU", "make_pair", "on", "skip_without"]

# Read by cuBLAS when it begins: without it, its matrix products are not the same twice.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

SHAPE: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "generator_hidden_size": 32,
    "generator_num_attention_heads": 2,
    "initializer_range": 0.1,
}
_GPU = pytest.param("cuda", marks=pytest.mark.gpu)
SLOW_ON_A_CPU = pytest.mark.parametrize("device", [_GPU, pytest.param("cpu", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture(scope="session", params=[_GPU, "cpu"])
def device(request: pytest.FixtureRequest) -> str:
    """`"cuda"` under `make test-gpu`, else `"cpu"`."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here (torch.cuda.is_available() is False)")
    return str(request.param)


@pytest.fixture
def trainer(device: str, make_trainer: Callable[..., MclTrainer]) -> Callable[..., MclTrainer]:  # noqa: F811
    """As `make_trainer`, on the device; takes its arguments."""

    def make(config: dict[str, Any] | None = None, **arguments: Any) -> MclTrainer:
        return make_trainer({**SHAPE, **(config or {})}, use_cpu=device == "cpu", **arguments)

    return make


@pytest.fixture(autouse=True)
def whole_float32() -> None:
    """A run of the Trainer leaves TF32 on behind it."""
    if torch.cuda.is_available():
        enable_tf32(False)


@pytest.fixture
def repeatable(device: str) -> Iterator[None]:
    """Only kernels that compute the same twice."""
    if device == "cuda":
        torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def skip_without(precision: str, device: str) -> None:
    """Skips a test where the device does not multiply in `"bf16"` or `"fp16"`; a CPU emulates the first."""
    if precision == "fp16" and device == "cpu":
        pytest.skip("a CPU does not train in float16")
    if precision == "bf16" and device == "cuda" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip(f"{torch.cuda.get_device_name()} does not multiply in bfloat16")


def make_pair(device: str, **fields: Any) -> MclForPreTraining:
    """The same at each call."""
    torch.manual_seed(0)
    pair: Any = MclForPreTraining(make_config(**{**SHAPE, **fields}))
    made: MclForPreTraining = pair.to(device).train()
    return made


def on(device: str, padding: str) -> dict[str, torch.Tensor]:
    """A batch of `make_batch`, there."""
    return {name: value.to(device) for name, value in make_batch(padding).items()}
