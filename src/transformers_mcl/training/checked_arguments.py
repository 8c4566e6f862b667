"""Arguments of a training that are refused at once, where transformers would when it has begun to train."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from accelerate.utils import DynamoBackend, GradientAccumulationPlugin
from torch._inductor import list_mode_options
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.checkpoint import checkpoint
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType
from transformers.utils.import_utils import is_liger_kernel_available

from ..errors import UserError, check_name, check_names
from ..hub.push import check_repo_name
from ..io import load_json, one_line
from ..ranges import check_numbers

__all__ = ["CheckedArguments", "scheduler_arguments"]

_KEPT = "preserve_rng_state"  # which `checkpoint` takes beside those that it names
# Those that torch and transformers have.
_OWN_OPTIMIZERS = ("adafactor", "adagrad", "adamw_torch", "adamw_torch_fused", "rmsprop", "sgd")
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
        if self.torch_compile_mode is not None:
            check_name("torch_compile_mode", self.torch_compile_mode, list_mode_options())
        if self.dataloader_persistent_workers and not self.dataloader_num_workers:
            raise UserError("dataloader_persistent_workers needs a dataloader_num_workers of 1 or more")
        if self.push_to_hub and self.hub_model_id is not None:
            check_repo_name(self.hub_model_id)
        self._check_files()
        try:
            super().__post_init__()
        except (ValueError, TypeError, ImportError, OSError) as error:  # the user's to mend
            raise UserError(one_line(error)) from error
        self._check_packages()
        self._check_mappings()
        self.check_schedule()
        self._check_optim_args()

    def _check_files(self) -> None:
        """What is a mapping, or names a file of one: the file is there and holds one."""
        for name in ("accelerator_config", "fsdp_config"):
            value = getattr(self, name)
            if isinstance(value, str):
                value = value.strip()  # transformers takes what does not begin with a brace for a file's name
                setattr(self, name, value)
            if isinstance(value, str) and not value.startswith("{"):
                try:
                    load_json(value)
                except UserError as error:
                    raise UserError(f"{name}: give a JSON mapping, or a file of one: {error}") from error

    def _check_packages(self) -> None:
        check_names("report_to", self.report_to or (), [*INTEGRATION_TO_CALLBACK, "all", "none"])
        there = [*get_available_reporting_integrations(), "none", "flyte"]
        if lacking := next((name for name in self.report_to or () if name not in there), None):
            raise UserError(f"report_to={lacking} needs a package that is not installed, or not set up")
        if self.use_liger_kernel and not is_liger_kernel_available():
            raise UserError("use_liger_kernel needs a package that is not installed: `pip install liger-kernel`")

    def _check_mappings(self) -> None:
        """The names in what is handed on to accelerate and torch, and their kinds."""
        given = vars(self.accelerator_config)
        for name, value in given.items():
            if name != "gradient_accumulation_kwargs" and not isinstance(value, bool | None):
                raise UserError(f"accelerator_config[{name!r}]={value!r} must be true or false")
        asked = {"accelerator_config: gradient_accumulation_kwargs": given.get("gradient_accumulation_kwargs")}
        known = {"accelerator_config: gradient_accumulation_kwargs": list(vars(GradientAccumulationPlugin()))}
        for name in ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"):
            asked[name], known[name] = getattr(self, name, None), [*signature(checkpoint).parameters, _KEPT][2:]
        for name, value in asked.items():
            if not isinstance(value, dict | None):
                raise UserError(f"{name}={value!r} must be a JSON mapping")
            check_names(name, value or (), [key for key in known[name] if key != "kwargs"])
        for name, value in (given.get("gradient_accumulation_kwargs") or {}).items():
            if name != "num_steps" and not isinstance(value, bool):  # transformers refuses that one
                raise UserError(
                    f"accelerator_config: gradient_accumulation_kwargs: {name}={value!r} must be true or false"
                )

    def _check_optim_args(self) -> None:
        """Looks at the names and values of `optim_args`: transformers passes over names that it does not know.

        The optimizers of other packages, some of which cannot be made without a model, look at theirs themselves.
        """
        optim = getattr(self.optim, "value", self.optim)
        if not self.optim_args or optim not in _OWN_OPTIMIZERS:
            return
        items = self.optim_args.replace(" ", "").split(",")
        if wrong := [item for item in items if not re.fullmatch(r"[^=]+=[^=]+", item)]:
            raise UserError(f"optim_args={self.optim_args}: {wrong[0]!r} is not name=value")
        without = copy.copy(self)
        without.optim_args = None
        try:
            kind, arguments = Trainer.get_optimizer_cls_and_kwargs(self)
            kind([torch.zeros(1, requires_grad=True)], **arguments)
        except Exception as error:  # each optimizer refuses in its own way
            raise UserError(f"optim_args={self.optim_args}: {one_line(error)}") from error
        taken = arguments.items() - Trainer.get_optimizer_cls_and_kwargs(without)[1].items()
        if unknown := [name for item in items if (name := item.partition("=")[0]) not in dict(taken)]:
            raise UserError(f"optim_args: {unknown[0]!r} is no argument of {optim} that can be given")

    def check_schedule(self) -> None:
        """Looks at the names and steps of `lr_scheduler_kwargs`, as transformers does only when it begins to train.

        Raises:
            UserError: what there is not, or what the number of steps does not leave room for.
        """
        kind, given = SchedulerType(self.lr_scheduler_type), self.lr_scheduler_kwargs or {}
        if not isinstance(given, dict):
            raise UserError(f"lr_scheduler_kwargs={given!r} must be a JSON mapping such as '{{\"power\": 2}}'")
        schedule: Any = TYPE_TO_SCHEDULER_FUNCTION[kind]
        parameters = signature(schedule).parameters
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
            made = get_scheduler(
                kind, optimizer, self.get_warmup_steps(steps), steps, scheduler_arguments(given, steps)
            )
            rate = made.lr_lambdas[0] if isinstance(made, LambdaLR) else lambda at: made.step(1.0)  # of a metric
            for at in (0, steps // 2, steps - 1):
                rate(at)
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
