"""What a run is watched by between two logs: kept on the device, read from it at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from ..method.courses import all_losses
from ..method.metrics import add_metrics

__all__ = ["Meter"]


class Meter:
    """Sums over steps, and the first step at which each loss was not finite; nothing waits for the device but `read`.

    Attributes:
        sums: what was read so far, tensors on the CPU; see `transformers_mcl.method.metrics`.
        broken: by name of the loss, the first step at which it was NaN or infinite on any process.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.broken: dict[str, int] = {}
        self._on_device: dict[str, Tensor] = {}
        self._first_broken: Tensor | None = None
        self._losses = tuple(all_losses())

    def add(self, metrics: Mapping[str, Tensor], losses: Mapping[str, Tensor] | None = None, step: int = 0) -> None:
        """Adds what a batch's `metrics` say, and looks at its `losses`."""
        add_metrics(self._on_device, metrics)
        if losses:
            fine = torch.full((), math.inf, device=next(iter(losses.values())).device)
            first = torch.stack([_step_if_broken(losses[n], step) if n in losses else fine for n in self._losses])
            self._first_broken = first if self._first_broken is None else torch.minimum(self._first_broken, first)

    def read(self, accelerator: Accelerator) -> None:
        """Moves everything from the devices of all processes into `sums` and `broken`: one wait for the device."""
        if not self._on_device:
            return
        names, values = list(self._on_device), list(self._on_device.values())
        flat = torch.cat([value.flatten() for value in values])
        first = self._first_broken
        if first is None:
            first = flat.new_full((len(self._losses),), math.inf)
        if accelerator.num_processes > 1:
            flat = accelerator.reduce(flat, reduction="sum")
            first = accelerator.gather(first[None]).amin(0)
        flat = torch.cat([flat, first.to(flat.dtype)]).cpu()
        *parts, steps = flat.split([*(value.numel() for value in values), len(self._losses)])
        add_metrics(self.sums, {n: p.view(v.shape) for n, p, v in zip(names, parts, values, strict=True)})
        self.broken = {n: int(s) for n, s in zip(self._losses, steps.tolist(), strict=True) if math.isfinite(s)}
        self._on_device = {}


def _step_if_broken(loss: Tensor, step: int) -> Tensor:
    return torch.where(loss.isfinite(), math.inf, float(step))
