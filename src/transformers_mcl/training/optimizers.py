"""Parameter groups and optimizers: Muon, a generator with a learning rate of its own, layer-wise decay."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, Trainer
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_optimizer import is_optimizer_factory
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from ..errors import UserError

if TYPE_CHECKING:
    from .arguments import MclTrainingArguments

__all__ = [
    "MuonWithAdamW",
    "check_optimizer",
    "layerwise_parameter_groups",
    "muon_arguments",
    "optimizer_and_groups",
    "scheduler_arguments",
]

_LAYER = re.compile(r"\blayer\.(\d+)\.")
_INPUT = re.compile(r"embeddings|relative_attention_bias")
# The arguments of `torch.optim.Muon` that `optim_args` may set, as it writes them.
_MUON_ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "momentum": float,
    "nesterov": lambda text: {"true": True, "false": False}[text.lower()],
    "ns_steps": int,
    "adjust_lr_fn": lambda text: {name: name for name in ("match_rms_adamw", "original")}[text],
}
# What a schedule gets from the trainer.
_SCHEDULER_ARGUMENTS = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")


class MuonWithAdamW(Optimizer):
    """One optimizer of two: `torch.optim.Muon` for some parameter groups and `torch.optim.AdamW` for the others.

    Schedulers, accelerate and checkpoints see one list of groups and one state.

    Args:
        params: parameter groups; those with `use_muon=True` hold matrices only.
        lr: learning rate of groups that give none.
        betas, eps, fused: AdamW's.
        muon: the other arguments of `torch.optim.Muon`.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
        **muon: Any,
    ):
        super().__init__(params, {"lr": lr, "weight_decay": 0.0, "use_muon": False})
        # Both write the settings that they need into the very groups that they are given.
        self._muon = Muon(self._groups(use_muon=True), lr=lr, **muon)
        self._adamw = AdamW(self._groups(use_muon=False), lr=lr, betas=betas, eps=eps, fused=fused)

    def _groups(self, use_muon: bool) -> list[dict[str, Any]]:
        return [group for group in self.param_groups if group["use_muon"] == use_muon]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each, on this optimizer's groups and state, which loading a checkpoint replaces."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for inner in (self._muon, self._adamw):
            inner.param_groups, inner.state = self._groups(use_muon=inner is self._muon), self.state
            inner.step()
        return loss


def optimizer_and_groups(args: MclTrainingArguments, model: nn.Module) -> tuple[Any, dict[str, Any]]:
    """The class and the arguments of the optimizer that is asked for, with `params` where the groups are ours.

    Without Muon and a learning rate for the generator all is [`~transformers.Trainer`]'s. With either, groups by
    network: whatever the networks share, such as the embeddings, is in the discriminator's.

    Raises:
        UserError: an optimizer that makes groups of its own cannot have a learning rate for the generator, nor Muon
            parameters that are flattened.
    """
    if args.optim == "muon":
        betas = (args.adam_beta1, args.adam_beta2)
        given = {"lr": args.learning_rate, "betas": betas, "eps": args.adam_epsilon, "fused": True}
        return MuonWithAdamW, {"params": _parameter_groups(args, model), **given, **muon_arguments(args.optim_args)}
    kind, arguments = Trainer.get_optimizer_cls_and_kwargs(args, model)  # type: ignore[arg-type]
    if args.generator_learning_rate is None:
        return kind, arguments
    if is_optimizer_factory(kind) or {"params", "model", "optimizer_dict"} & arguments.keys():
        raise UserError(
            f"generator_learning_rate={args.generator_learning_rate:g}: optim={_name(args)} makes parameter groups of "
            "its own and cannot have it; choose another, such as adamw_torch"
        )
    return kind, {**arguments, "params": _parameter_groups(args, model)}


def _parameter_groups(args: MclTrainingArguments, model: nn.Module) -> list[dict[str, Any]]:
    """By network, by weight decay and with Muon by optimizer. The first is the discriminator's: its rate is logged."""
    decayed = set(_decayed(model))
    by_matrix = {False: args.learning_rate, True: args.muon_learning_rate or args.learning_rate}
    share = (args.generator_learning_rate or args.learning_rate) / args.learning_rate
    groups: dict[tuple[bool, ...], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():  # what is shared comes once, under the discriminator's name
        if not parameter.requires_grad:
            continue
        generator, decays = "generator." in name, name in decayed
        muon = args.optim == "muon" and parameter.ndim == 2 and _LAYER.search(name) is not None
        rate = by_matrix[muon] * (share if generator else 1.0)
        group: dict[str, Any] = {"params": [], "lr": rate, "weight_decay": args.weight_decay * decays}
        if args.optim == "muon":
            group["use_muon"] = muon
        groups.setdefault((generator, decays, muon), group)["params"].append(parameter)
    if args.optim == "muon" and not any(muon for _, _, muon in groups):
        raise UserError("optim=muon finds no whole matrices in the layers: FSDP 1 flattens them, use FSDP 2 or DDP")
    return list(groups.values())


def _decayed(model: nn.Module) -> list[str]:
    """Names of the parameters with weight decay: all but biases, the relative position bias too, and norms."""
    return Trainer.get_decay_parameter_names(None, model)  # type: ignore[arg-type]  # uses nothing of a trainer


def layerwise_parameter_groups(
    model: PreTrainedModel, learning_rate: float, decay: float, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Parameter groups whose learning rate is the lower the nearer they are to the input, as ELECTRA is fine-tuned.

    With `n` layers the rate is `learning_rate * decay ** (n + 2 - depth)`, where the depth of the embeddings, their
    projection and the relative position bias is 0, of the layers from below 1 to `n`, and of the task's head `n + 2`.

    Args:
        model: a task model of ours or any whose layers are named as BERT's, `layer.0` and so on.
        learning_rate: of the task's head.
        decay: factor from a layer to the one below it, in (0, 1].
        weight_decay: of all but biases and norms.

    Returns:
        The groups, the head's first, for a `torch.optim` optimizer.

    Raises:
        UserError: a decay outside (0, 1], or a model whose layers are named otherwise.

    Examples:

    ```python
    groups = layerwise_parameter_groups(model, learning_rate=1e-4, decay=0.8)
    trainer = Trainer(model, args, optimizers=(torch.optim.AdamW(groups, eps=1e-6), None))
    ```
    """
    if not 0 < decay <= 1:
        raise UserError(f"decay={decay} of the learning rate by layer must be above 0 and at most 1")
    layers, decayed = model.config.num_hidden_layers, set(_decayed(model))
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth, decays = _depth(name, layers), name in decayed
            rate = learning_rate * decay ** (layers + 2 - depth)
            group: dict[str, Any] = {"lr": rate, "weight_decay": weight_decay * decays, "params": []}
            groups.setdefault((depth, decays), group)["params"].append(parameter)
    if not {depth for depth, _ in groups} >= set(range(1, layers + 1)):
        raise UserError(f"{type(model).__name__}: its {layers} layers are not named layer.0 to layer.{layers - 1}")
    return [groups[key] for key in sorted(groups, reverse=True)]


def _depth(name: str, layers: int) -> int:
    if match := _LAYER.search(name):
        return int(match[1]) + 1
    return 0 if _INPUT.search(name) else layers + 2


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


def check_optimizer(args: MclTrainingArguments) -> None:
    """Looks at what the arguments say of the optimizer and the schedule, before anything is read.

    Raises:
        UserError: something that cannot be.
    """
    for name in ("generator_learning_rate", "muon_learning_rate"):
        value = getattr(args, name)
        if value is not None and not (value > 0 and args.learning_rate > 0):
            raise UserError(f"{name}={value:g} and learning_rate={args.learning_rate:g} must both be above 0")
    if args.optim == "muon":
        muon_arguments(args.optim_args)
        if args.deepspeed_plugin is not None:
            raise UserError("optim=muon needs whole matrices, and DeepSpeed flattens them: use DDP or FSDP 2")
    elif args.muon_learning_rate is not None:
        raise UserError(f"muon_learning_rate={args.muon_learning_rate:g} needs --optim muon, not {_name(args)}")
    _check_schedule(args)


def _name(args: MclTrainingArguments) -> str:
    return OptimizerNames(args.optim).value


def _check_schedule(args: MclTrainingArguments) -> None:
    """The names and steps of `lr_scheduler_kwargs`, which transformers looks at only when it begins to train."""
    kind, given = SchedulerType(args.lr_scheduler_type), args.lr_scheduler_kwargs
    given = given if isinstance(given, dict) else {}
    schedule: Any = TYPE_TO_SCHEDULER_FUNCTION[kind]
    parameters = inspect.signature(schedule).parameters
    known = [name for name in parameters if name not in _SCHEDULER_ARGUMENTS]
    unknown = [name for name in given if name not in known]
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        raise UserError(
            f"lr_scheduler_kwargs: {unknown[0]!r} is no argument of {kind.value}; it has {', '.join(known) or 'none'}"
        )
    if kind != SchedulerType.WARMUP_STABLE_DECAY:
        return
    decay = given.get("num_decay_steps")
    if not isinstance(decay, int | float) or decay < 0:
        raise UserError(
            "lr_scheduler_type=warmup_stable_decay needs lr_scheduler_kwargs with num_decay_steps, a number or "
            f"below 1 a share of the steps, such as '{{\"num_decay_steps\": 0.1}}', not {decay}"
        )
    if args.max_steps > 0 and "num_stable_steps" not in given:
        steps = scheduler_arguments(given, args.max_steps) or {}
        if args.get_warmup_steps(args.max_steps) + steps["num_decay_steps"] > args.max_steps:
            raise UserError(
                f"warmup_steps={args.warmup_steps:g} and num_decay_steps={decay:g} are more than "
                f"max_steps={args.max_steps}"
            )


def apply_settings(optimizer: Any, scheduler: Any, asked: list[dict[str, Any]]) -> None:
    """Gives an optimizer that was loaded the settings that were asked for, in place of those it was saved with.

    Args:
        optimizer, scheduler: after loading; of `LambdaLR` schedules the learning rate follows as well.
        asked: the settings of each parameter group before loading.
    """
    for group, own in zip(optimizer.param_groups, asked, strict=True):
        group.update({name: value for name, value in own.items() if name != "lr"})
    if isinstance(scheduler, LambdaLR):
        scheduler.base_lrs = [own["initial_lr"] for own in asked]
        rates = [
            base * at(scheduler.last_epoch) for base, at in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        ]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates
