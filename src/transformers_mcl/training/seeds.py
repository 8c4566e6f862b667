"""Seeds of draws that must have nothing to do with each other."""

from __future__ import annotations

import numpy as np

__all__ = ["stream_seed"]


def stream_seed(seed: int, stream: int) -> int:
    """The seed of one of many streams of draws, those of the processes of a run, say; stream 0 has `seed` itself.

    A sum of the two would give stream 1 of seed 1 the draws of stream 0 of seed 2.
    """
    if stream == 0:
        return seed
    return int(np.random.SeedSequence(seed % 2**64, spawn_key=(stream,)).generate_state(1, np.uint64)[0])
