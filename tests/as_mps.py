"""Apple's GPU as far as a test without one needs it: tensors that say they lie there, and that are never float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

MPS = torch.device("mps")


class OnMps(torch.Tensor):
    """A tensor that is `held` on the CPU and says that it is on MPS; torch's own code takes it for a meta tensor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnMps:
        if held.dtype in (torch.float64, torch.complex128):
            raise TypeError("MPS has no float64: where was it made?")
        shape: dict[str, Any] = {
            "strides": held.stride(),
            "storage_offset": held.storage_offset(),
            "dtype": held.dtype,
        }
        made = torch.Tensor._make_wrapper_subclass(cls, held.size(), device=torch.device("meta"), **shape)
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return MPS

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = tree_leaves((args, kwargs))
    there = any(isinstance(leaf, OnMps) for leaf in leaves)
    own = dict(kwargs)
    if (device := own.get("device")) is not None:
        there, own["device"] = torch.device(device).type == "mps", "cpu"
    elif func._schema.is_mutable and args and isinstance(args[0], Tensor):
        there = isinstance(args[0], OnMps)  # a copy from there into a tensor here
    result = func(*tree_map_only(OnMps, lambda t: t.held, args), **tree_map_only(OnMps, lambda t: t.held, own))
    if not there:
        return result
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, OnMps, result))


@contextmanager
def mps() -> Iterator[None]:
    """Within it, what is made with `device="mps"` is an `OnMps`."""
    with _Mode():
        yield


def moved(model: nn.Module) -> None:
    """Puts parameters and buffers of a model on MPS; what it shares it still does."""
    parameters: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                new = parameters.setdefault(id(value), nn.Parameter(OnMps(value.detach()), value.requires_grad))
                module._parameters[name] = new
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = OnMps(buffer)
