"""Self-attention with a learned bias on the scores, which torch has no fused kernel for on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.models.electra.modeling_electra import ElectraSelfAttention

from .dropout import dropout

__all__ = ["MclSelfAttention", "lowest"]


class MclSelfAttention(ElectraSelfAttention):
    """ELECTRA's, but that

    - under autocast the three projections share one cast of the hidden states;
    - on a CPU, where the scores get a bias that is trained or probabilities are dropped, it takes three plain steps
      instead of `scaled_dot_product_attention`'s many: that multiplies in float32 there, whatever the precision, and
      looks in every layer for rows that attend to nothing, which no row of ours does.
    """

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        device = hidden_states.device.type
        if torch.is_autocast_enabled(device):
            hidden_states = hidden_states.to(torch.get_autocast_dtype(device))
        # Decoders' keys of before, under the names of newer and older releases.
        cached = any(one is not None for one in (*args, kwargs.get("cache"), kwargs.get("past_key_values")))
        if cached or not self._is_unfused(hidden_states, attention_mask):
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        batch, length, _ = hidden_states.shape

        def heads(x: Tensor) -> Tensor:
            """`(batch * heads, length, width)`"""
            return x.view(batch, length, self.num_attention_heads, -1).transpose(1, 2).flatten(0, 1)

        query, key = heads(self.query(hidden_states) * self.scaling), heads(self.key(hidden_states))
        value = heads(self.value(hidden_states))
        with torch.autocast(device, enabled=False):
            scores = (query @ key.transpose(1, 2)).view(batch, self.num_attention_heads, length, length)
            if attention_mask is not None:
                scores = _biased(scores, attention_mask)
            probabilities = dropout(scores.softmax(-1), self.dropout.p, self.training)
            attended = probabilities.flatten(0, 1) @ value
        attended = attended.view(batch, self.num_attention_heads, length, -1).transpose(1, 2)
        return attended.reshape(batch, length, -1), None

    def _is_unfused(self, hidden_states: Tensor, mask: Tensor | None) -> bool:
        """Whether torch would take its slow way: no fused kernel of a CPU has a gradient for the bias, or dropout."""
        if hidden_states.device.type != "cpu" or self.config._attn_implementation != "sdpa":
            return False
        return (self.training and self.dropout.p > 0) or (mask is not None and mask.requires_grad)


def _biased(scores: Tensor, mask: Tensor) -> Tensor:
    """`scores` `(batch, heads, length, length)` plus a bias, or without what a mask of truth values leaves out."""
    if mask.dtype == torch.bool:
        return scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
    return scores.add_(mask.to(scores.dtype))


def lowest(bias: Tensor) -> float:
    """What leaves a place out when it is added to scores: a number that the precision of the scores has, too, since a
    row of nothing but infinities, as padding may be, has no softmax."""
    device = bias.device.type
    scored = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else bias.dtype
    return torch.finfo(scored).min
