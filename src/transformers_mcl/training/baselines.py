"""What is reached without any context: the measure of a generator that learns."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..data.packing import TokenStream
from ..models.configuration_mcl import MclConfig

__all__ = ["token_entropy", "token_shares"]

_TOKENS = 2_000_000  # from 25,000 on, more move the entropy of a vocabulary of 8,192 by less and less: 6.4, 6.9, 7.02


def token_shares(rows: Dataset, config: MclConfig) -> NDArray[np.float64]:
    """How often each token occurs that does, as a share of all in the first two million that are not special."""
    stream = TokenStream(rows)
    ids = stream[0 : min(len(stream), _TOKENS)]
    special = [config.pad_token_id or 0, config.cls_token_id, config.sep_token_id]
    counts = np.bincount(ids[~np.isin(ids, special)])
    return np.asarray(counts[counts > 0] / max(counts.sum(), 1))


def token_entropy(shares: NDArray[np.float64]) -> float:
    """In nats: the least loss of a model that gives every place the same distribution."""
    return float(-(shares * np.log(shares)).sum())
