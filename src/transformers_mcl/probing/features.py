"""The pooled states of a frozen encoder, layer by layer: one vector for each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from ..errors import UserError
from ..evaluation.halves import ScorerName, open_scorer
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, open_model
from ..models.modeling_mcl import MclForMaskedLM
from ..models.structure import input_names

__all__ = ["Features", "Pooling", "open_encoder", "pooled_states"]

Features = NDArray[np.float32]
Pooling = Literal["mean", "cls"]


def open_encoder(name_or_path: str, half: ScorerName | None, dtype: str) -> PreTrainedModel:
    """The encoder of a checkpoint, in evaluation mode: whatever `AutoModel` opens, of a pair the `half`.

    Raises:
        UserError: no such checkpoint, one that lacks weights of its encoder, or a `half` of what is no pair.
    """
    where, config = f"model_name_or_path {name_or_path!r}", load_config(name_or_path)
    if half is not None and not isinstance(config, MclConfig):
        raise UserError(f"half: {where} is a {config.model_type!r} model, which has no halves: leave it out")
    if half == "generator":
        generator: Any = open_scorer(name_or_path, half, dtype)
        return (generator.generator.electra if isinstance(generator, MclForMaskedLM) else generator.base_model).eval()
    opened = open_model(AutoModel, name_or_path, where, dtype=dtype)
    if lost := [key for key in opened.missing if not key.startswith("pooler.")]:
        raise UserError(
            f"{where} holds no weights of the encoder ({lost[0]} and {len(lost) - 1} more are missing): a generator "
            "alone is named by --half generator"
        )
    model = opened.model.get_encoder() if config.is_encoder_decoder else opened.model
    return model.eval()


@torch.no_grad()
def pooled_states(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    *,
    pooling: Pooling = "mean",
    batch_size: int = 128,
    layers: Sequence[int] | None = None,
) -> dict[int, Features]:
    """One vector for each row and layer, on the device of `model`; under a launcher the processes share the batches.

    Args:
        rows: with the columns that the tokenizer gives, not padded.
        pooling: `mean` over the tokens that the attention mask has, the special ones among them; `cls`: the first.
        layers: numbers of layers, 0 that of the embeddings, -1 the last; all by default.

    Returns:
        By number of the layer float32 `(rows, width)`.

    Raises:
        UserError: a layer that is not there, or states that are not finite.
    """
    state = PartialState()
    columns = [name for name in input_names(model) if name in rows.column_names]
    table = rows.select_columns(columns)
    # The longest first: what does not fit into memory fails at once.
    order = np.argsort([-len(ids) for ids in table["input_ids"]], kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    found = []
    with logging.tqdm(total=len(order), unit="row", disable=not state.is_main_process) as bar:
        for number, batch in enumerate(batches):
            if number % state.num_processes == state.process_index:
                inputs: Any = tokenizer.pad(table[batch], return_tensors="pt").to(model.device)
                states = model(**inputs, output_hidden_states=True).hidden_states
                numbers = _numbers(layers, len(states))
                found.append((batch, {number: pool(states[number], inputs, pooling) for number in numbers}))
            bar.update(len(batch))
    everything = gather_object(found)
    back = np.argsort(np.concatenate([batch for batch, _ in everything]))
    features = {n: np.concatenate([pooled[n] for _, pooled in everything])[back] for n in everything[0][1]}
    if not all(np.isfinite(vectors).all() for vectors in features.values()):
        raise UserError(f"{type(model).__name__} gives states that are not finite; it may have diverged in training")
    return features


def pool(states: Tensor, inputs: Any, pooling: Pooling) -> Features:
    """`(rows, width)` of the states `(rows, length, width)` of a layer."""
    mask = inputs["attention_mask"] if "attention_mask" in inputs else torch.ones_like(inputs["input_ids"])
    states = states.float()
    if pooling == "cls":
        vectors = states[torch.arange(len(states)), mask.argmax(1)]  # padding may be on the left
    else:
        vectors = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    pooled: Features = vectors.cpu().numpy()
    return pooled


def _numbers(asked: Sequence[int] | None, there: int) -> list[int]:
    """From the lowest layer up."""
    if asked is None:
        return list(range(there))
    if wrong := [layer for layer in asked if not -there <= layer < there]:
        raise UserError(f"layers: there is no layer {wrong[0]}, but 0 (the embeddings) to {there - 1}")
    return sorted({layer % there for layer in asked})
