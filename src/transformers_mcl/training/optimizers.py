"""Parameter groups and optimizers: Muon, a generator with a learning rate of its own, layer-wise decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, Trainer
from transformers.trainer_optimizer import is_optimizer_factory

from ..errors import UserError
from ..models.structure import layer_numbers, parameter_depths
from .optimizer_arguments import OptimizerArguments, muon_arguments

__all__ = ["MuonWithAdamW", "apply_settings", "layerwise_parameter_groups", "optimizer_and_groups", "settings"]


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


def optimizer_and_groups(args: OptimizerArguments, model: nn.Module) -> tuple[Any, dict[str, Any]]:
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
            f"generator_learning_rate={args.generator_learning_rate:g}: optim={args.optim_name} makes parameter "
            "groups of its own and cannot have it; choose another, such as adamw_torch"
        )
    return kind, {**arguments, "params": _parameter_groups(args, model)}


def _parameter_groups(args: OptimizerArguments, model: nn.Module) -> list[dict[str, Any]]:
    """By network, by weight decay and with Muon by optimizer. The first is the discriminator's: its rate is logged."""
    decayed, layers = set(_decayed(model)), layer_numbers(name for name, _ in model.named_parameters())
    by_matrix = {False: args.learning_rate, True: args.muon_learning_rate or args.learning_rate}
    share = 1.0  # of a learning rate of 0 as well
    if args.generator_learning_rate is not None:
        share = args.generator_learning_rate / args.learning_rate
    groups: dict[tuple[bool, ...], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():  # what is shared comes once, under the discriminator's name
        if not parameter.requires_grad:
            continue
        generator, decays = "generator." in name, name in decayed
        muon = args.optim == "muon" and parameter.ndim == 2 and name in layers
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
    projection and relative positions is 0, of the layers from below 1 to `n`, and of the task's head and what else
    comes after them `n + 2` (`models.structure.parameter_depths`).

    The groups are for a `torch.optim` optimizer, the head's first; biases and norms have no weight decay.

    Args:
        model: a task model of any family.
        learning_rate: of the task's head.
        decay: factor from a layer to the one below it, in (0, 1].

    Raises:
        UserError: a decay outside (0, 1], or a model whose layers cannot be told.

    Examples:

    ```python
    import torch
    from transformers_mcl import MclConfig, MclForSequenceClassification
    from transformers_mcl.training.optimizers import layerwise_parameter_groups

    model = MclForSequenceClassification(MclConfig.tiny())  # or a fine-tuned one
    groups = layerwise_parameter_groups(model, learning_rate=1e-4, decay=0.8)
    optimizer = torch.optim.AdamW(groups, eps=1e-6)  # for Trainer(..., optimizers=(optimizer, None))
    ```
    """
    if not 0 < decay <= 1:
        raise UserError(f"decay={decay} of the learning rate by layer must be above 0 and at most 1")
    (depths, layers), decayed = parameter_depths(model), set(_decayed(model))
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth, decays = depths[name], name in decayed
            rate = learning_rate * decay ** (layers + 2 - depth)
            group: dict[str, Any] = {"lr": rate, "weight_decay": weight_decay * decays, "params": []}
            groups.setdefault((depth, decays), group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups, reverse=True)]


def settings(optimizer: Any) -> list[dict[str, Any]]:
    """What each parameter group says, but for its parameters."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def complete_state(optimizer: Any) -> None:
    """Gives parameters that have not been trained yet the state that their first step would begin with: zeros, of what
    others of their group have. A checkpoint of a sharded optimizer is read back only if it has all."""
    every = [state for state in optimizer.state.values() if state]
    for group in optimizer.param_groups:
        of_group = [optimizer.state[p] for p in group["params"] if optimizer.state.get(p)]
        for parameter in group["params"] if every else ():
            if not optimizer.state.get(parameter):
                optimizer.state[parameter] = {
                    name: torch.zeros_like(parameter if value.ndim else value)
                    for name, value in (of_group or every)[0].items()
                }


def apply_settings(optimizer: Any, scheduler: Any, asked: list[dict[str, Any]]) -> None:
    """Gives an optimizer that was loaded the settings that were `asked` for, in place of those it was saved with; of a
    `LambdaLR` scheduler the learning rate follows as well."""
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
