"""Which document of a packed row each token belongs to, and where in it it stands."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["find_documents", "positions_in_documents"]


def find_documents(input_ids: Tensor, cls_token_id: int) -> Tensor:
    """The number of each token's document in its row, where every document begins with `[CLS]`.

    Args:
        input_ids (`LongTensor` of shape `(batch, length)`): packed rows, `[CLS] a [SEP] [CLS] b [SEP]`. Read them
            clean, or as a course left them: what a generator fills in may be a `[CLS]` that begins nothing.

    Returns:
        `LongTensor` of shape `(batch, length)`, from 1 up; 0 for what stands before the first `[CLS]`.
    """
    return (input_ids == cls_token_id).cumsum(1)


def positions_in_documents(document_ids: Tensor) -> Tensor:
    """The place of each token in its document, from 0 up: `(batch, length)`, as `document_ids`, whose numbers may be
    any that differ between neighbouring documents."""
    place = torch.arange(document_ids.shape[1], device=document_ids.device)
    begins = torch.nn.functional.pad(document_ids[:, 1:] != document_ids[:, :-1], (1, 0), value=True)
    return place - torch.where(begins, place, 0).cummax(1).values
