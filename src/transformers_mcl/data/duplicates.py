"""Documents that are the same but for their spaces: found by 8 bytes of a hash each, counted, left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value
from transformers.utils import logging

from .arguments import DataArguments
from .cached import map_once

__all__ = ["Hashes", "Watch", "first_of_each", "hash_documents", "hash_text", "warn_of_overlap"]

logger = logging.get_logger(__name__)

Hashes = npt.NDArray[np.int64]
_HASHES = Features({"hash": Value("int64")})


def hash_text(text: str) -> int:
    """64 bits that two documents share if they are the same but for the lengths of their spaces."""
    words = " ".join(text.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little", signed=True)


def hash_documents(documents: Dataset, args: DataArguments) -> Hashes:
    """The hash of each document, `(documents,)`; cached as all that is made of a text."""
    hashed = map_once(
        documents,
        _hash_batch,
        input_columns="text",
        remove_columns="text",
        features=_HASHES,
        desc="Comparing documents",
        **args.map_options(len(documents)),
    )
    return np.asarray(hashed.with_format("numpy")[:]["hash"], dtype=np.int64)


def _hash_batch(texts: list[str]) -> dict[str, list[int]]:
    return {"hash": [hash_text(text) for text in texts]}


def first_of_each(parts: Sequence[Hashes], left_out: Hashes) -> list[npt.NDArray[np.int64]]:
    """The places of the documents in each part that did not come before, in it or others, nor are in `left_out`."""
    hashes = np.concatenate(parts)
    places = np.sort(np.unique(hashes, return_index=True)[1])
    places = places[~np.isin(hashes[places], left_out)]
    ends = np.cumsum([len(part) for part in parts])
    cut = np.split(places, np.searchsorted(places, ends[:-1]))
    return [mine - end + len(part) for mine, end, part in zip(cut, ends, parts, strict=True)]


def warn_of_overlap(train: Iterable[Hashes], held_out: Iterable[Hashes]) -> None:
    """Warns if held-out documents stand in the training text as well."""
    hashes = np.concatenate(list(held_out))
    count = int(np.isin(hashes, np.concatenate(list(train))).sum())
    if count:
        logger.warning(
            f"{count:,} of {len(hashes):,} held-out documents ({count / len(hashes):.2%}) also stand in the training "
            "text, so the evaluation measures in part what was learnt by heart: --deduplicate true leaves them out of "
            "the training text"
        )


class Watch:
    """Looks out for documents that are held out, and says the first.

    Args:
        held_out: the documents.
    """

    def __init__(self, held_out: Iterable[str] = ()) -> None:
        # A hash of all that is read would take a twentieth of the time of a stream.
        self._hashes: dict[str, set[int]] = {}
        for text in held_out:
            self._hashes.setdefault(_beginning(text), set()).add(hash_text(text))

    def look_at(self, text: str) -> None:
        if not self._hashes:
            return
        hashes = self._hashes.get(_beginning(text))
        if hashes and hash_text(text) in hashes:
            self._hashes = {}
            logger.warning(
                f"a held-out document also stands in the training text: {text[:60]!r}; how many do, "
                "is counted without --streaming"
            )


def _beginning(text: str) -> str:
    return " ".join(text[:100].split()[:4])
