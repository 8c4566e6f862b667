"""Texts of several sources as one: without duplicates, with some documents held out, in proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from datasets import Dataset, concatenate_datasets, interleave_datasets
from transformers.utils import logging

from ..errors import UserError
from .arguments import DataArguments
from .duplicates import Hashes, first_of_each, hash_documents

__all__ = ["Text", "deduplicate", "hold_out", "join"]

logger = logging.get_logger(__name__)

_MOST_REPETITIONS = 100


class Text(NamedTuple):
    """Documents, `Dataset` of `text`, with the hash of each."""

    documents: Dataset
    hashes: Hashes

    @classmethod
    def of(cls, documents: Dataset, args: DataArguments) -> Text:
        return cls(documents, hash_documents(documents, args))

    @property
    def description(self) -> str:
        return str(self.documents.info.description)

    def select(self, places: npt.NDArray[np.int64]) -> Text:
        return Text(self.documents.select(places), self.hashes[places])


def deduplicate(texts: Sequence[Text], held_out: Sequence[Text]) -> list[Text]:
    """The first of equal documents, of none that is held out; how many are left out is said.

    Raises:
        UserError: nothing is left of a text.
    """
    seen = np.concatenate([np.empty(0, dtype=np.int64), *(text.hashes for text in held_out)])
    kept = []
    for text, places in zip(texts, first_of_each([text.hashes for text in texts], seen), strict=True):
        left_out = len(text.hashes) - len(places)
        if not len(places):
            raise UserError(
                f"deduplicate: all {left_out:,} documents of {text.description} are in the text before them, or held "
                "out: leave this text out"
            )
        text = text.select(places)
        if left_out:
            text.documents.info.description += f" ({left_out:,} duplicates left out)"
        kept.append(text)
    return kept


def hold_out(text: Text, percentage: float, seed: int) -> tuple[Text, Text]:
    """What is left, and a random part of the documents, at least one; order is kept in both.

    Raises:
        UserError: there is a single document.
    """
    documents = len(text.documents)
    if documents < 2:
        raise UserError(
            f"the training text is a single document ({text.description}), so none can be held out:"
            " give validation_file, or another document_separator"
        )
    chosen = np.zeros(documents, dtype=bool)
    count = min(max(round(documents * percentage / 100), 1), documents - 1)
    chosen[np.random.default_rng(seed).choice(documents, count, replace=False)] = True
    return text.select(np.flatnonzero(~chosen)), text.select(np.flatnonzero(chosen))


def join(texts: Sequence[Dataset], weights: Sequence[float] | None = None, seed: int = 0) -> Dataset:
    """One text of several: one after the other, or drawn at random with `weights`, each in its order.

    With weights each document is drawn at least once; a text that is through before the others begins again.

    Raises:
        UserError: a text would be drawn very often.
    """
    if len(texts) == 1:
        return texts[0]
    descriptions = [str(text.info.description) for text in texts]
    if weights is None:
        joined = concatenate_datasets(list(texts))
    else:
        shares = np.array(weights) / np.sum(weights)
        lengths = np.array([len(text) for text in texts])
        passes = shares / lengths * np.max(lengths / shares)
        if passes.max() > _MOST_REPETITIONS:
            raise UserError(
                f"mixing_weights: {descriptions[passes.argmax()]} would be read {passes.max():,.0f} times until "
                "all of the others is read: give it less, or --streaming true, which ends by steps"
            )
        joined = interleave_datasets(list(texts), shares.tolist(), seed, stopping_strategy="all_exhausted")
        descriptions = [
            f"{share:.3g} {description}, read {times:.3g} times"
            for share, description, times in zip(shares, descriptions, passes, strict=True)
        ]
    joined.info.description = "; ".join(descriptions)
    return joined
