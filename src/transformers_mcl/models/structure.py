"""What can be told of an encoder of any family by how it is built: its layers, the longest row, its inputs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ..errors import UserError

__all__ = ["input_names", "layer_numbers", "longest_row", "parameter_depths"]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_NUMBERED = re.compile(r"(.*?)\.(\d+)\.(.+)")


def layer_numbers(names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Of the tensors that lie in a layer, by name: the path of the list of layers, and the number in it.

    A list of layers is a numbered one, within no other, whose members have modules of their own: BERT's
    `encoder.layer`, DistilBERT's `transformer.layer`, ALBERT's `encoder.albert_layer_groups`. Lists as long beside it
    hold other parts of the same layers, as XLM's do. A `Sequential` of a head is none: its members are single modules.
    """
    found = {name: match for name in names if (match := _NUMBERED.match(name))}
    lengths: dict[str, int] = {}
    for path, number, _ in (match.groups() for match in found.values()):
        lengths[path] = max(lengths.get(path, 0), int(number) + 1)
    # Where each lies and its length, which tells the lists of parts of layers.
    kinds = {path: (path.rpartition(".")[0], length) for path, length in lengths.items()}
    whole = {kinds[match[1]] for match in found.values() if "." in match[3]}
    return {name: (match[1], int(match[2])) for name, match in found.items() if kinds[match[1]] in whole}


def parameter_depths(model: PreTrainedModel) -> tuple[dict[str, int], int]:
    """How far each parameter is from the input, by name, as ELECTRA's fine-tuning counts it; and the number of layers.

    With `n` layers it is 0 for embeddings and whatever else the layers are given, as a projection or relative
    positions, 1 to `n` for the layers from below, `n + 2` for what comes after them: the encoder's last norm, a
    pooler, the head. ALBERT's layers, which share their weights, count as one.

    Raises:
        UserError: the layers cannot be told, or are not as many as the configuration says.
    """
    above = getattr(model.base_model, "pooler", None)  # which NomicBERT has before its layers
    encoder = {id(p) for p in model.base_model.parameters()}
    if isinstance(above, nn.Module):
        encoder -= {id(p) for p in above.parameters()}
    names = [name for name, parameter in model.named_parameters() if id(parameter) in encoder]
    layers = layer_numbers(names)
    count = max((number + 1 for _, number in layers.values()), default=0)
    stated = getattr(model.config, "num_hidden_groups", None) or getattr(model.config, "num_hidden_layers", None)
    if count == 0 or count != stated or len({number for _, number in layers.values()}) != count:
        raise UserError(f"{type(model).__name__}: its layers cannot be told: {stated} in its config, {count} numbered")
    first = next(at for at, name in enumerate(names) if name in layers)
    # A table of relative positions lies beside the layers; what there is with it, its norm say, is as near the input.
    tables = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    beside = tuple(f"{name.rsplit('.', 2)[0]}." for name in names[first:] if name in tables and name not in layers)
    depths = {name: 0 if at < first or name.startswith(beside) else count + 2 for at, name in enumerate(names)}
    depths |= {name: number + 1 for name, (_, number) in layers.items()}
    return {name: depths.get(name, count + 2) for name, _ in model.named_parameters()}, count


def longest_row(model: PreTrainedModel) -> int | None:
    """Tokens of the longest row that a model has positions for; `None` if it knows no bound.

    RoBERTa's positions begin after that of padding, which its table knows: 514 of them are for 512 tokens.
    """
    name = "max_position_embeddings"  # which some give another name, and XLNet as an error
    stated = model.config.to_dict().get(model.config.attribute_map.get(name, name))
    bounds = [stated] if isinstance(stated, int) and stated > 0 else []
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and path.endswith("position_embeddings"):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            bounds.append(module.num_embeddings - first)
    return min(bounds, default=None)


def input_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Which of ids, mask and token types a model takes, of a pair both networks; no token types where it has one
    alone."""
    halves: list[Any] = [getattr(model, name, None) for name in ("discriminator", "generator")]
    if all(isinstance(half, PreTrainedModel) for half in halves):
        ours, its = map(input_names, halves)
        return tuple(name for name in ours if name in its)
    taken = inspect.signature(model.forward).parameters
    several = getattr(model.config, "type_vocab_size", 2) > 1  # XLNet's are relative, and have no table
    return tuple(name for name in _INPUTS if name in taken and (name != "token_type_ids" or several))
