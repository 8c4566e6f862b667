"""Heads of the released code lineages that ELECTRA has not: what a checkpoint converted from fairseq needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.models.electra.modeling_electra import ElectraDiscriminatorPredictions

from .configuration_mcl import MclConfig

__all__ = ["LayerMixture", "detection_head"]


def detection_head(config: MclConfig) -> nn.Module:
    """The head that `config.detection_head_type` names: hidden states to logits `(batch, length)`, positive =
    replaced."""
    kinds = {
        "electra": ElectraDiscriminatorPredictions,
        "layer_norm": _NormalizedPredictions,
        "linear": _LinearPredictions,
    }
    head: nn.Module = kinds[config.detection_head_type](config)
    return head


class _NormalizedPredictions(ElectraDiscriminatorPredictions):
    """ELECTRA's, normalised before the last projection: unilm's."""

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, discriminator_hidden_states: Tensor) -> Tensor:
        hidden = self.LayerNorm(self.activation(self.dense(discriminator_hidden_states)))
        return self.dense_prediction(hidden).squeeze(-1)


class _LinearPredictions(nn.Module):
    """The last projection alone: COCO-LM's."""

    def __init__(self, config: MclConfig):
        super().__init__()
        self.dense_prediction = nn.Linear(config.hidden_size, 1)

    def forward(self, discriminator_hidden_states: Tensor) -> Tensor:
        return self.dense_prediction(discriminator_hidden_states).squeeze(-1)


class LayerMixture(nn.Linear):
    """How much each of several layers has to say at each position: AMOS's, a softmax over a learned score."""

    def __init__(self, config: MclConfig):
        super().__init__(config.hidden_size, 1, bias=False)

    def forward(self, states: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
        """Mixes `features` `(layers, …, width)` by the scores of `states` `(layers, …, hidden)`, over the layers.

        AMOS mixes the vocabulary logits; since these are linear in the features, and the shares add up to 1, so does
        mixing the features, with one projection to the vocabulary instead of one a layer.
        """
        shares = torch.softmax(super().forward(states).float(), 0).to(features.dtype)
        return (shares * features).sum(0)
