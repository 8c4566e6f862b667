"""What the arguments say of the optimizer and its schedule: Muon, the generator's learning rate, shares of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from ..errors import UserError
from .precision import PrecisionArguments

__all__ = ["OptimizerArguments", "muon_arguments"]

# The arguments of `torch.optim.Muon` that `optim_args` may set, as it writes them.
_MUON_ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "momentum": float,
    "nesterov": lambda text: {"true": True, "false": False}[text.lower()],
    "ns_steps": int,
    "adjust_lr_fn": lambda text: {name: name for name in ("match_rms_adamw", "original")}[text],
}


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
        muon = self.optim == "muon"
        if muon:  # not for transformers' eyes
            given, self.optim, self.optim_args = self.optim_args, "adamw_torch", None
        super().__post_init__()
        if muon:
            self.optim, self.optim_args = "muon", given
        self._check_learning_rates()

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
