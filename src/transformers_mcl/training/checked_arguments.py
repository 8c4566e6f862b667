"""Arguments of a training that are refused at once, where transformers would when it has begun to train."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import DynamoBackend
from torch.optim import SGD
from transformers import TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType

from ..errors import UserError, check_name, check_names
from ..hub.push import check_repo_name
from ..io import one_line
from ..ranges import check_numbers

__all__ = ["CheckedArguments", "scheduler_arguments"]

# What a schedule gets from the trainer.
_SCHEDULER_ARGUMENTS = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")


@dataclass
class CheckedArguments(TrainingArguments):
    """[`~transformers.TrainingArguments`] whose numbers, names and schedule some run can have.

    Raises:
        UserError: they cannot be, or transformers refuses them.
    """

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.torch_compile_backend is not None:
            known = [backend.value.lower() for backend in DynamoBackend if backend is not DynamoBackend.NO]
            check_name("torch_compile_backend", self.torch_compile_backend.lower(), known)
        if self.dataloader_persistent_workers and not self.dataloader_num_workers:
            raise UserError("dataloader_persistent_workers needs a dataloader_num_workers of 1 or more")
        if self.push_to_hub and self.hub_model_id is not None:
            check_repo_name(self.hub_model_id)
        try:
            super().__post_init__()
        except (ValueError, TypeError, ImportError, OSError) as error:  # the user's to mend
            raise UserError(one_line(error)) from error
        check_names("report_to", self.report_to or (), [*INTEGRATION_TO_CALLBACK, "all", "none"])
        self.check_schedule()

    def check_schedule(self) -> None:
        """Looks at the names and steps of `lr_scheduler_kwargs`, as transformers does only when it begins to train.

        Raises:
            UserError: what there is not, or what the number of steps does not leave room for.
        """
        kind, given = SchedulerType(self.lr_scheduler_type), self.lr_scheduler_kwargs or {}
        if not isinstance(given, dict):
            raise UserError(f"lr_scheduler_kwargs={given!r} must be a JSON mapping such as '{{\"power\": 2}}'")
        schedule: Any = TYPE_TO_SCHEDULER_FUNCTION[kind]
        parameters = inspect.signature(schedule).parameters
        known = [name for name in parameters if name not in _SCHEDULER_ARGUMENTS]
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for name, value in given.items():
            if name not in known and not any_name:
                has = ", ".join(known) or "none"
                raise UserError(f"lr_scheduler_kwargs: {name!r} is no argument of {kind.value}; it has {has}")
            if isinstance(value, int | float) and not math.isfinite(value):
                raise UserError(f"lr_scheduler_kwargs[{name!r}]={value} must be finite")
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


def scheduler_arguments(given: dict[str, Any] | str | None, num_training_steps: int) -> dict[str, Any] | None:
    """`lr_scheduler_kwargs` with counts of steps where they are shares (below 1), as `warmup_steps` may be."""
    if not isinstance(given, dict):  # text is read when the arguments are made
        return None
    shares = {name: share for name, share in given.items() if name.endswith("_steps") and 0 < share < 1}
    return {**given, **{name: int(share * num_training_steps) for name, share in shares.items()}}
