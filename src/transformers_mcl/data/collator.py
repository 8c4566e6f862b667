"""Rows of ids to batches of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase


def padding_multiple(length: int) -> int | None:
    """8, a length that devices multiply fast in, if it divides `length`: else rows could be padded beyond it, and the
    model may have no place for that."""
    return 8 if length % 8 == 0 else None


@dataclass
class DataCollatorForMcl:
    """Batches rows of clean ids; all corruption happens later, in the model.

    Rows may say where words begin (`word_starts`), which the batch then says, too: False at padding.

    Rows of one length, as packing makes them, are stacked, and there is no attention mask. Rows of several lengths
    are padded to the longest, with a mask that is 0 at padding.

    Args:
        tokenizer: does the padding: its pad token, on its padding side.
        pad_to_multiple_of: pad to the next multiple of this length.

    Examples:

    ```python
    >>> from transformers import BertTokenizer
    >>> from transformers_mcl.data import DataCollatorForMcl
    >>> collator = DataCollatorForMcl(BertTokenizer())
    >>> collator([{"input_ids": [2, 7, 8, 3]}, {"input_ids": [2, 9, 5, 3]}])
    {'input_ids': tensor([[2, 7, 8, 3],
            [2, 9, 5, 3]])}
    >>> collator([{"input_ids": [2, 7, 8, 3]}, {"input_ids": [2, 9, 3]}])
    {'input_ids': tensor([[2, 7, 8, 3],
            [2, 9, 3, 0]]), 'attention_mask': tensor([[1, 1, 1, 1],
            [1, 1, 1, 0]])}

    ```
    """

    tokenizer: PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """`input_ids` (batch, length), int64; `attention_mask` (batch, length), int64, if anything is padded; and
        `word_starts` (batch, length), bool, if the rows have it."""
        rows = [row["input_ids"] for row in features]
        words = [row["word_starts"] for row in features if "word_starts" in row]
        lengths = {len(row) for row in rows}
        if len(lengths) == 1 and lengths.pop() % (self.pad_to_multiple_of or 1) == 0:
            batch = {"input_ids": torch.from_numpy(np.array(rows, dtype=np.int64))}
            return {**batch, "word_starts": torch.from_numpy(np.array(words, dtype=bool))} if words else batch
        padded = self.tokenizer.pad(
            {"input_ids": rows},
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_attention_mask=True,
            return_tensors="pt",
        )
        batch = {name: padded[name] for name in ("input_ids", "attention_mask")}
        if words:
            present, starts = batch["attention_mask"].bool(), torch.from_numpy(np.concatenate(words).astype(bool))
            batch["word_starts"] = torch.zeros_like(present).masked_scatter(present, starts)
        return batch
