"""The encoder under a task's head: opened, checked, measured."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase, Trainer, set_seed

from ..errors import UserError
from ..io import nearest_path, one_line
from ..models.loading import load_config, loading_in_silence
from ..training.optimizers import layerwise_parameter_groups
from .arguments import EncoderArguments, FinetuningArguments
from .task import Task

__all__ = ["hub_arguments", "layerwise_optimizer", "load_encoder", "task_length"]


def hub_arguments(encoder: EncoderArguments) -> dict[str, Any]:
    """What every `from_pretrained` of the encoder is given."""
    return {
        "cache_dir": encoder.cache_dir,
        "revision": encoder.model_revision,
        "token": encoder.token,
        "trust_remote_code": encoder.trust_remote_code,
    }


def load_encoder(encoder: EncoderArguments, task: Task, seed: int, trains: bool = True) -> tuple[PreTrainedModel, str]:
    """The encoder under a head for `task`, whose new weights are those of `seed`.

    Args:
        trains: whether it is to be trained; else the checkpoint must hold the head, too.

    Returns:
        The model, and a hash of what the checkpoint gave to it.

    Raises:
        UserError: no such model, one without a head for the task, or a checkpoint that does not hold the encoder.
    """
    name, hub = encoder.model_name_or_path, hub_arguments(encoder)
    set_seed(seed)
    try:
        with loading_in_silence():  # new weights of the head are what is wanted
            config = AutoConfig.from_pretrained(name, **hub, **task.model_fields)
            model, info = task.auto.from_pretrained(
                name,
                config=config,
                attn_implementation=encoder.attn_implementation,
                ignore_mismatched_sizes=encoder.ignore_mismatched_sizes,
                output_loading_info=True,
                **hub,
            )
    except Exception as error:  # besides OSError and ValueError, whatever a damaged file leads to
        if "mismatched_sizes" in str(error):
            raise UserError(
                f"model_name_or_path {name!r} has a head of another shape than {task.name} needs: give "
                "--ignore_mismatched_sizes to start it anew"
            ) from error
        raise UserError(f"model_name_or_path {name!r}: {one_line(error)}{nearest_path(name)}") from error
    missing = sorted(info["missing_keys"])
    lost = [key for key in missing if ".layer" in key and key.startswith(model.base_model_prefix)]
    if lost:
        raise UserError(
            f"model_name_or_path {name!r} holds no weights of the encoder to fine-tune ({lost[0]} and "
            f"{len(lost) - 1} more are missing): a generator alone? Give the pair or its discriminator"
        )
    if missing and not trains:
        raise UserError(f"model_name_or_path {name!r} has no head for {task.name} ({missing[0]}): it needs do_train")
    return model, _digest(model, {*missing, *(key for key, *_ in info["mismatched_keys"])})


def _digest(model: PreTrainedModel, new: set[str]) -> str:
    """Of the weights that a checkpoint gave, wherever it lies, and of its configuration."""
    fields = {**model.config.to_dict(), "transformers_version": None, "_name_or_path": None}
    digest = hashlib.sha256(repr(sorted(fields.items(), key=str)).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name not in new:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def task_length(asked: int | None, task: Task, tokenizer: PreTrainedTokenizerBase, encoder: EncoderArguments) -> int:
    """The length at which rows are cut: as asked, else the task's usual one or what the model can take.

    Raises:
        UserError: it is more than the model can take.
    """
    config = load_config(encoder.model_name_or_path, **hub_arguments(encoder))
    positions = getattr(config, "max_position_embeddings", None) or 0
    most = min(positions if positions > 0 else 10**9, tokenizer.model_max_length)
    if asked is not None and asked > most:
        raise UserError(f"max_seq_length={asked} is more than the {most} tokens that the model or its tokenizer takes")
    return asked or min(task.max_seq_length, most)


def layerwise_optimizer(args: FinetuningArguments, model: PreTrainedModel) -> torch.optim.Optimizer | None:
    """The optimizer of the arguments with rates by layer; None, for the Trainer's own, if one rate is for all."""
    if args.layerwise_learning_rate_decay is None:
        return None
    kind, arguments = Trainer.get_optimizer_cls_and_kwargs(args, model)
    groups = layerwise_parameter_groups(
        model, args.learning_rate, args.layerwise_learning_rate_decay, args.weight_decay
    )
    optimizer: torch.optim.Optimizer = kind(groups, **arguments)
    return optimizer
