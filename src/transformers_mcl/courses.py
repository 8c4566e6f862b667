"""The courses' corruptions and the correction notebook, by the name that they have always been imported from."""

from __future__ import annotations

from .method.corruptions import Corruption, insert_masks, mask_tokens, sample_tokens, swap_tokens
from .method.notebook import Notebook, correction_notebook, rediscrimination_input, regeneration_input

__all__ = [
    "Corruption",
    "Notebook",
    "correction_notebook",
    "insert_masks",
    "mask_tokens",
    "rediscrimination_input",
    "regeneration_input",
    "sample_tokens",
    "swap_tokens",
]
