"""What the arguments say of the optimizer and its schedule: Muon, the generator's learning rate, shares of steps."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import SGD
from transformers import TrainingArguments, get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from ..errors import UserError
from ..io import one_line
from .argument_ranges import check_numbers
from .precision import PrecisionArguments

__all__ = ["OptimizerArguments", "muon_arguments", "scheduler_arguments"]

# The arguments of `torch.optim.Muon` that `optim_args` may set, as it writes them.
_MUON_ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "momentum": float,
    "nesterov": lambda text: {"true": True, "false": False}[text.lower()],
    "ns_steps": int,
    "adjust_lr_fn": lambda text: {name: name for name in ("match_rms_adamw", "original")}[text],
}
# What a schedule gets from the trainer.
_SCHEDULER_ARGUMENTS = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")


@dataclass
class OptimizerArguments(PrecisionArguments):
    """[`PrecisionArguments`] with what `MclTrainer`'s optimizers add:

    - `optim="muon"`: `torch.optim.Muon` for the matrices of the layers and AdamW for everything else; `optim_args`
      takes its `momentum`, `nesterov`, `ns_steps` and `adjust_lr_fn`;
    - `generator_learning_rate`: with Muon its matrices' keeps the same proportion; what the networks share, the
      embeddings say, is the discriminator's;
    - `lr_scheduler_kwargs`: `num_decay_steps` and `num_stable_steps` below 1 are shares of all steps.

    Raises:
        UserError: a number that no run can have, or an optimizer or schedule that cannot be.
    """

    # A str, since the command line would take OptimizerNames' own values only.
    optim: str = field(
        default=TrainingArguments.optim,
        metadata={"help": "The optimizer to use: muon, or another of transformers' OptimizerNames."},
    )
    muon_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the matrices, with --optim muon; else learning_rate."}
    )
    generator_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the generator's own parameters; else learning_rate."}
    )

    @property
    def optim_name(self) -> str:
        """`optim` as it is written on the command line."""
        return str(getattr(self.optim, "value", self.optim))

    def __post_init__(self) -> None:
        if self.optim not in (known := [*(name.value for name in OptimizerNames), "muon"]):
            raise UserError(f"optim={self.optim} must be one of {', '.join(known)}")
        check_numbers(self)
        muon = self.optim == "muon"
        if muon:  # not for transformers' eyes
            self.optim = "adamw_torch"
        try:
            super().__post_init__()
        except ValueError as error:  # what transformers refuses is the user's to mend
            raise UserError(one_line(error)) from error
        if muon:
            self.optim = "muon"
        self._check_learning_rates()
        self.check_schedule()

    def _check_learning_rates(self) -> None:
        for name in ("generator_learning_rate", "muon_learning_rate"):
            value = getattr(self, name)
            if value is not None and not self.learning_rate > 0:
                raise UserError(f"{name}={value:g} needs a learning_rate above 0, not {self.learning_rate:g}")
        if self.optim == "muon":
            muon_arguments(self.optim_args)
            if self.deepspeed_plugin is not None:
                raise UserError("optim=muon needs whole matrices, and DeepSpeed flattens them: use DDP or FSDP 2")
        elif self.muon_learning_rate is not None:
            raise UserError(
                f"muon_learning_rate={self.muon_learning_rate:g} needs --optim muon, not {self.optim_name}"
            )

    def check_schedule(self) -> None:
        """Looks at the names and steps of `lr_scheduler_kwargs`, as transformers does only when it begins to train.

        Raises:
            UserError: what there is not, or what the number of steps does not leave room for.
        """
        kind, given = SchedulerType(self.lr_scheduler_type), self.lr_scheduler_kwargs
        given = given if isinstance(given, dict) else {}
        schedule: Any = TYPE_TO_SCHEDULER_FUNCTION[kind]
        parameters = inspect.signature(schedule).parameters
        known = [name for name in parameters if name not in _SCHEDULER_ARGUMENTS]
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for name, value in given.items():
            if name not in known and not any_name:
                has = ", ".join(known) or "none"
                raise UserError(f"lr_scheduler_kwargs: {name!r} is no argument of {kind.value}; it has {has}")
            if isinstance(value, int | float) and not math.isfinite(value):
                raise UserError(f"lr_scheduler_kwargs: {name}={value} must be finite")
        if kind == SchedulerType.WARMUP_STABLE_DECAY:
            self._check_decay(given)
        steps = self.max_steps if self.max_steps > 0 else 1000  # any number: that of epochs is not known yet
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=self.learning_rate)
        try:
            get_scheduler(kind, optimizer, self.get_warmup_steps(steps), steps, scheduler_arguments(given, steps))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise UserError(
                f"lr_scheduler_type={kind.value} cannot be with learning_rate={self.learning_rate:g} and "
                f"lr_scheduler_kwargs={given}: {one_line(error)}"
            ) from error

    def _check_decay(self, given: dict[str, Any]) -> None:
        decay = given.get("num_decay_steps")
        if not isinstance(decay, int | float) or decay < 0:
            raise UserError(
                "lr_scheduler_type=warmup_stable_decay needs lr_scheduler_kwargs with num_decay_steps, a number or "
                f"below 1 a share of the steps, such as '{{\"num_decay_steps\": 0.1}}', not {decay}"
            )
        if self.max_steps > 0 and "num_stable_steps" not in given:
            steps = scheduler_arguments(given, self.max_steps) or {}
            if self.get_warmup_steps(self.max_steps) + steps["num_decay_steps"] > self.max_steps:
                raise UserError(
                    f"warmup_steps={self.warmup_steps:g} and num_decay_steps={decay:g} are more than "
                    f"max_steps={self.max_steps}"
                )


def muon_arguments(optim_args: str | None) -> dict[str, Any]:
    """`optim_args` as arguments of `torch.optim.Muon`; an update as large as AdamW's (`match_rms_adamw`) by default.

    Raises:
        UserError: an unknown name or a value that it cannot have.
    """
    given: dict[str, Any] = {"adjust_lr_fn": "match_rms_adamw"}
    for item in (optim_args or "").replace(" ", "").split(","):
        name, _, value = item.partition("=")
        try:
            given |= {name: _MUON_ARGUMENTS[name](value)} if item else {}
        except (KeyError, ValueError):
            raise UserError(
                f"optim_args: {item!r} is not an argument of Muon; give momentum=0.95, nesterov=true, ns_steps=5 or "
                "adjust_lr_fn=match_rms_adamw (or original), separated by commas"
            ) from None
    if not 0 <= given.get("momentum", 0) < 1 or not 0 < given.get("ns_steps", 1) < 100:
        raise UserError(f"optim_args={optim_args}: momentum must be in [0, 1) and ns_steps in 1 to 99")
    return given


def scheduler_arguments(given: dict[str, Any] | str | None, num_training_steps: int) -> dict[str, Any] | None:
    """`lr_scheduler_kwargs` with counts of steps where they are shares (below 1), as `warmup_steps` may be."""
    if not isinstance(given, dict):  # text is read when the arguments are made
        return None
    shares = {name: share for name, share in given.items() if name.endswith("_steps") and 0 < share < 1}
    return {**given, **{name: int(share * num_training_steps) for name, share in shares.items()}}
