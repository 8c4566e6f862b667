"""Whether the passes of a run are compiled where nothing is asked for: if it is long enough to pay for it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..io import one_line
from .callbacks import format_seconds

__all__ = ["Compiling", "compiling_pays", "why_not"]

# Share of a step's time that it saves: on CPUs the least of what was measured (docs/speed.md); of CUDA, a cautious
# guess.
_SAVED = {"cpu": 0.07, "cuda": 0.2}
_COST = 180.0  # seconds until all graphs are made, at most (docs/speed.md)
_MARGIN = 2  # by which it is to save more than it costs


class Compiling(NamedTuple):
    """Whether passes are compiled, and why or why not, for people."""

    on: bool
    reason: str


def compiling_pays(device: str, seconds: float) -> Compiling:
    """Whether a run that takes `seconds` on a device of this type gains by it, with a margin."""
    if (saved := _SAVED.get(device)) is None:
        return Compiling(False, f"what it gains on {device} is not known")
    run, least = f"this run takes about {format_seconds(seconds)}", format_seconds(_MARGIN * _COST / saved)
    if seconds * saved < _MARGIN * _COST:
        return Compiling(False, f"{run}, and it pays from {least} on")
    return Compiling(True, f"{run}, of which it saves some {saved:.0%}; it pays from {least} on")


def why_not(device: torch.device) -> str:
    """Why nothing can be compiled here, in one line; empty if something can, found out by doing it.

    On a CPU it takes a C++ compiler and Python's headers (on Windows those of Visual Studio), on a GPU Triton.
    """
    try:
        torch.compile(_double)(torch.ones(8, device=device))
    except Exception as error:  # each of its parts has its own
        return one_line(error).partition(" Set TORCHDYNAMO_VERBOSE")[0]
    return ""


def _double(value: Tensor) -> Tensor:
    return value * 2
