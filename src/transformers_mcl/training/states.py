"""Whether what a checkpoint holds beside the weights fits the training that is to go on from it.

torch puts most of it in place as it is, and stumbles over it in the first step, or never.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers.trainer_callback import TrainerState

from ..data.streaming import StreamPosition
from ..errors import UserError
from ..io import one_line

__all__ = [
    "check_like",
    "check_optimizer",
    "check_random_state",
    "check_run",
    "check_stream_state",
    "check_trainer_state",
    "fitting",
]


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Around the reading of a file of a checkpoint, whose content leads to errors of all kinds. A lack of memory is
    not one of them.

    Raises:
        UserError: there was one; names the file.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"resume_from_checkpoint: {path} does not fit this run ({_said(error)}): move this checkpoint away, and "
            "go on from the one before"
        ) from error


def _said(error: Exception) -> str:
    """What an error says, in one line."""
    return f"it has no {error}" if isinstance(error, KeyError) else one_line(error)


def check_like(saved: Any, own: Any, name: str = "it") -> None:
    """Raises ValueError if `saved` cannot stand in the place of `own`: of mappings, what goes by the same name must be
    of the same kind, length or shape, and finite."""
    if isinstance(own, Mapping) and isinstance(saved, Mapping):
        for key in own.keys() & saved.keys():
            check_like(saved[key], own[key], str(key))
    elif isinstance(own, list | tuple) and isinstance(saved, type(own)):
        if own and len(saved) != len(own):
            raise ValueError(f"{name} has {len(saved)} values, not {len(own)}")
        for one, other in zip(saved, own, strict=False):
            check_like(one, other, name)
    elif isinstance(own, Tensor) and own.ndim:
        _check_tensor(saved, own, name)
    elif isinstance(own, int | float | Tensor):
        _check_number(saved, own, name)
    elif own is not None and not isinstance(saved, type(own)):
        raise ValueError(f"{name} is {_short(saved)}, not a {type(own).__name__}")


def _check_tensor(saved: Any, own: Tensor, name: str) -> None:
    if not isinstance(saved, Tensor) or saved.shape != own.shape:
        raise ValueError(f"{name} is {_short(saved)}, not {_short(own)}")
    if own.is_floating_point() and not (saved.is_floating_point() and saved.isfinite().all()):
        raise ValueError(f"{name} holds what is no finite number")


def _check_number(saved: Any, own: float | Tensor, name: str) -> None:
    if isinstance(saved, Tensor) and saved.numel() == 1:
        saved = saved.item()
    if not isinstance(saved, int | float) or (math.isfinite(own) and not math.isfinite(saved)):
        raise ValueError(f"{name} is {_short(saved)}, not a number")


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"of shape {tuple(value.shape)}"
    return str(value) if isinstance(value, float) else f"a {type(value).__name__}"


def check_trainer_state(state: Any) -> None:
    """Raises ValueError or TypeError if it is not what a `trainer_state.json` holds."""
    if not all(isinstance(state.get(name), int) and state[name] >= 0 for name in ("global_step", "max_steps")):
        raise ValueError("it does not say how many steps were taken")
    check_like(state, vars(TrainerState()))
    TrainerState(**state)
    if not all(isinstance(entry, dict) for entry in state.get("log_history", [])):
        raise ValueError("log_history is no list of mappings")


def check_run(run: Any) -> None:
    """Raises ValueError if it is not what a `run.json` holds."""
    names = run.get("files", []) if isinstance(run, dict) else []
    check_like(run, {"step": 0, "files": [""] * len(names), "config": {}, "seconds": 0.0, "turn": 0})
    check_like(run.get("best") or "", "", "best")


def check_stream_state(state: Any) -> None:
    """Raises ValueError, KeyError or TypeError if it is not what a `stream_state_*.json` holds."""
    check_like(state, {"stream": {}, "epoch": 0.0, "positions": {}})
    numbers = [state["batches"], *map(int, state["positions"])]
    for position in map(StreamPosition.from_dict, state["positions"].values()):
        numbers += [position.draws, position.row, *position.rest]
        numbers += [number for place in position.places for number in asdict(place).values()]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a place in it is no number")


def check_random_state(state: Any) -> None:
    """Raises what a generator of numbers does that cannot begin from it."""
    check_like(state, {})
    random.Random().setstate(state["python"])
    np.random.RandomState().set_state(state["numpy"])
    torch.Generator().set_state(state["cpu"].clone())


def check_optimizer(optimizer: Optimizer, own: Sequence[Mapping[str, Any]]) -> None:
    """Compares what was loaded into an optimizer with what a first step would lead to, of each kind of parameter.

    Args:
        own: the settings of its groups before.

    Raises:
        ValueError: it is another, or there is none where a step leads to some.
    """
    used = has = False
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        check_like(group, {name: value for name, value in settings.items() if not isinstance(value, bool)})
        first: dict[Any, Any] = {}
        for parameter in group["params"]:
            kind = (parameter.shape, parameter.dtype, parameter.device)
            if kind not in first:
                first[kind] = _first_state(optimizer, settings, parameter)
            saved = optimizer.state.get(parameter, {})
            if saved:
                check_like(saved, {})
                check_like({name: saved[name] for name in first[kind]}, first[kind])
            used, has = used or bool(saved), has or bool(first[kind])
    if has and not used:
        raise ValueError("it holds no state")


def _first_state(optimizer: Optimizer, settings: Mapping[str, Any], parameter: Tensor) -> dict[str, Any]:
    """An optimizer's state after the first step of such a parameter; empty if this one has none, or takes no step by
    itself."""
    zeros = torch.zeros_like(parameter, requires_grad=True)
    zeros.grad = torch.zeros_like(zeros)
    trying = object.__new__(type(optimizer))  # a copy would lack what a class has beside groups and state
    trying.__dict__ |= {name: value for name, value in vars(optimizer).items() if name != "step"}  # a scheduler's
    trying.param_groups, trying.state = [{**settings, "params": [zeros]}], defaultdict(dict)
    with suppress(Exception):
        trying.step()
    return dict(trying.state[zeros])
