"""How the loader workers of all processes, its consumers, divide a text: as a line that is cut in equal pieces."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .documents import Shard
from .remote import is_remote, remote_sizes

# Its multiples, without their integer part, lie evenly between 0 and 1, however many there are (Knuth, TAOCP 3, 6.4).
_GOLDEN = (math.sqrt(5) - 1) / 2
_EXPANSION = 3  # of text whose compression hides its size


def spread(number: int) -> float:
    """A number's place between 0 and 1; those of numbers that follow one another are spread evenly."""
    return number * _GOLDEN % 1


class Piece(NamedTuple):
    """What a consumer reads of a shard: the documents, by number, that `spread` puts between `low` and `high`."""

    shard: int
    low: float
    high: float

    def has(self, document: int) -> bool:
        return self.low <= spread(document) < self.high


def share_out(
    sizes: npt.NDArray[np.int64], order: npt.NDArray[np.int64], consumer: int, consumers: int
) -> list[Piece]:
    """The consumer's pieces of shards that lie on a line in this order, each as long as its size."""
    ends = np.cumsum(sizes[order])
    begin, end = (int(ends[-1]) * cut / consumers for cut in (consumer, consumer + 1))
    first, last = int(np.searchsorted(ends, begin, side="right")), int(np.searchsorted(ends, end))
    pieces = []
    for shard, stop in zip(order[first : last + 1].tolist(), ends[first : last + 1].tolist(), strict=True):
        size = int(sizes[shard])
        low, high = ((cut - stop + size) / size for cut in (begin, end))
        pieces.append(Piece(shard, max(low, 0.0), min(high, 1.0)))
    return pieces


def shard_sizes(shards: Sequence[Shard]) -> npt.NDArray[np.int64]:
    """About how many bytes of text each holds, at least 1: its part of the file, as the file system knows its size.

    Files of unknown size are taken to be equal.
    """
    spans = [1 if shard.stop is None else shard.stop - shard.start for shard in shards]
    whole: Counter[str] = Counter()
    for shard, span in zip(shards, spans, strict=True):
        whole[shard.path] += span
    stored = file_sizes(whole)
    usual = sum(stored.values()) // max(len(stored), 1)
    sizes = np.empty(len(shards), dtype=np.int64)
    for number, (shard, span) in enumerate(zip(shards, spans, strict=True)):
        text = _EXPANSION if shard.form.compression or shard.form.kind == "zip" else 1
        sizes[number] = text * stored.get(shard.path, usual) * span // whole[shard.path]
    return np.maximum(sizes, 1)


def file_sizes(paths: Iterable[str]) -> dict[str, int]:
    """Bytes of each as it is stored, here or elsewhere, where its file system says."""
    paths = list(paths)
    here = {path: os.path.getsize(path) for path in paths if not is_remote(path)}
    return here | remote_sizes(path for path in paths if is_remote(path))
