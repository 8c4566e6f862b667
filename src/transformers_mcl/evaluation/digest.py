"""A hash of a model's weights: the same wherever its checkpoint lies, another once it is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import torch
from transformers import PreTrainedModel

__all__ = ["model_digest"]


def model_digest(model: PreTrainedModel, fields: str, without: Collection[str] = ()) -> str:
    """A hash of `fields`, what matters of the configuration, and of the weights but for those named by `without`."""
    digest = hashlib.sha256(fields.encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name not in without:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
