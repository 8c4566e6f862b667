"""Attention masks that keep the documents of a packed row apart, in the form that each attention function takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.masking_utils import create_bidirectional_mask, packed_sequence_mask_function

from ..errors import UserError

__all__ = ["check_documents", "document_mask"]

# What reads a mask of every query's own.
_READ_MASKS = (None, "eager", "sdpa", "flex_attention")


def check_documents(attn_implementation: str | None) -> None:
    """Refuses an attention function that would leave out what keeps documents apart, and not say so."""
    if attn_implementation not in _READ_MASKS:
        raise UserError(
            f"attn_implementation={attn_implementation!r} cannot keep the documents of a row apart "
            "(document_attention): use 'sdpa', 'flex_attention' or 'eager'"
        )


def document_mask(
    config: PreTrainedConfig,
    document_ids: Tensor,
    attention_mask: Tensor | None,
    dtype: torch.dtype,
    window: int | None = None,
) -> Any:
    """Every query's own mask: the tokens of its own document, without padding.

    Args:
        config: of the model, which says which attention function reads the mask.
        document_ids (`LongTensor` of shape `(batch, length)`): the document that each token belongs to.
        attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding.
        dtype: of the model.
        window: tokens farther away than this are left out, too.

    Raises:
        UserError: an attention mask that is not `(batch, length)`, or an attention function that reads no such mask.
    """
    check_documents(config._attn_implementation)
    if attention_mask is not None:
        if attention_mask.dim() != 2:
            raise UserError("document_ids: the attention_mask beside them must be (batch, length), 0 at padding")
        document_ids = document_ids.masked_fill(attention_mask == 0, -1)  # so that no row of the mask is empty
    if config._attn_implementation == "flex_attention":
        documents = packed_sequence_mask_function(document_ids)

        def near(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Any:
            return documents(batch, head, query, key) & ((query - key).abs() <= (window or 0))

        function = documents if window is None else near
        return create_bidirectional_mask(config, document_ids[..., None], None, and_mask_function=function)
    # The same function makes these too, at twenty times the cost.
    same = document_ids[:, None, :, None] == document_ids[:, None, None, :]
    if window is not None:
        place = torch.arange(document_ids.shape[1], device=document_ids.device)
        same = same & ((place[:, None] - place[None, :]).abs() <= window)
    if config._attn_implementation == "eager":
        return torch.zeros(same.shape, dtype=dtype, device=same.device).masked_fill(~same, torch.finfo(dtype).min)
    return same
