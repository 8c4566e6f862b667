"""The encoder under a task's head: opened, checked, measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, set_seed

from ..errors import UserError
from ..evaluation.digest import model_digest
from ..models.loading import load_config, open_model
from ..models.structure import longest_row
from ..training.optimizers import layerwise_parameter_groups
from .arguments import EncoderArguments, FinetuningArguments
from .task import LoadedTask

__all__ = ["check_vocabulary", "layerwise_optimizer", "load_encoder", "own_names", "task_length"]


def load_encoder(
    encoder: EncoderArguments, task: LoadedTask, seed: int, trains: bool = True
) -> tuple[PreTrainedModel, str]:
    """The encoder under a head for `task`, whose new weights are those of `seed`.

    Args:
        trains: whether it is to be trained; else the checkpoint must hold the head, too.

    Returns:
        The model, and a hash of what the checkpoint gave to it.

    Raises:
        UserError: no such model, one without a head for the task, or a checkpoint that does not hold the encoder.
    """
    name, hub = encoder.model_name_or_path, encoder.hub
    set_seed(seed)
    config = load_config(name, **hub, **task.model_fields)
    head = task.auto.__name__
    if type(config) not in task.auto._model_mapping and head not in (getattr(config, "auto_map", None) or {}):
        raise UserError(
            f"model_name_or_path {name!r} is a {config.model_type!r} model, which transformers has no {head} for: "
            f"{task.name} needs another encoder"
        )
    model, missing, reshaped, _ = open_model(
        task.auto,
        name,
        f"model_name_or_path {name!r}",
        config=config,
        attn_implementation=encoder.attn_implementation,
        ignore_mismatched_sizes=True,
        **hub,
    )
    if reshaped and not encoder.ignore_mismatched_sizes:
        raise UserError(
            f"model_name_or_path {name!r} has a head of another shape than {task.name} needs: give "
            "--ignore_mismatched_sizes to start it anew"
        )
    base = f"{model.base_model_prefix}."  # but for a pooler, which masked language models have none of
    lost = [key for key in missing if key.startswith(base) and not key.startswith(f"{base}pooler.")]
    if lost:
        raise UserError(
            f"model_name_or_path {name!r} holds no weights of the encoder to fine-tune ({lost[0]} and "
            f"{len(lost) - 1} more are missing): a generator alone? Give the pair or its discriminator"
        )
    if missing and not trains:
        raise UserError(f"model_name_or_path {name!r} has no head for {task.name} ({missing[0]}): it needs do_train")
    fields = {**model.config.to_dict(), "transformers_version": None, "_name_or_path": None}
    return model, model_digest(model, repr(sorted(fields.items(), key=str)), {*missing, *reshaped})[:12]


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """That every token has an embedding.

    Raises:
        UserError: the tokenizer has more tokens than the model.
    """
    embeddings: Any = model.get_input_embeddings()
    if (tokens := max(tokenizer.get_vocab().values()) + 1) > embeddings.num_embeddings:
        raise UserError(
            f"tokenizer_name {tokenizer.name_or_path!r} has ids up to {tokens - 1:,}, and the model "
            f"{embeddings.num_embeddings:,} embeddings: give the tokenizer that it was trained with"
        )


def task_length(
    asked: int | None, task: LoadedTask, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> int:
    """The length at which rows are cut: as asked, else the task's usual one or what the model can take.

    Raises:
        UserError: it is more than the model can take.
    """
    most = min(longest_row(model) or tokenizer.model_max_length, tokenizer.model_max_length)
    if asked is not None and asked > most:
        raise UserError(f"max_seq_length={asked} is more than the {most} tokens that the model or its tokenizer takes")
    return asked or min(task.max_seq_length, most)


@contextmanager
def own_names(model: PreTrainedModel) -> Iterator[None]:
    """Has checkpoints hold weights by the names that they have in the model.

    transformers saves them by those of the checkpoint that it opened (`LayerNorm.gamma` of an old BERT), or by others
    that it knows (NomicBERT's), and a Trainer that loads a checkpoint of its own, to go on or for the best one, misses
    all whose names differ.
    """
    opened: Any = model
    conversions, opened._weight_conversions = getattr(model, "_weight_conversions", None), []
    try:
        yield
    finally:
        opened._weight_conversions = conversions


def layerwise_optimizer(args: FinetuningArguments, model: PreTrainedModel) -> torch.optim.Optimizer | None:
    """The optimizer of the arguments with rates by layer; None, for the Trainer's own, if one rate is for all."""
    if args.layerwise_learning_rate_decay is None:
        return None
    kind, arguments = Trainer.get_optimizer_cls_and_kwargs(args, model)
    groups = layerwise_parameter_groups(
        model, args.learning_rate, args.layerwise_learning_rate_decay, args.weight_decay
    )
    return kind(groups, **arguments)
