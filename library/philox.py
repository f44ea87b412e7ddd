"""Philox4x32-10: a random function of (key, counter), the same on every machine.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64).reshape(2, 1, 1)
# What is added to the two words of the key before each of the ten rounds.
_SCHEDULE = (np.arange(10, dtype=np.uint64)[:, None] * _WEYL).reshape(10, 2, 1, 1)


def philox4x32(
    key: NDArray[np.uint64], even: NDArray[np.uint64], odd: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Ten rounds of Philox4x32 on n keys and `blocks` counters of each.

    key: (2, n, 1); even, odd: (2, n, blocks), words (0, 2) and (1, 3) of the counters, 32-bit words
    held in uint64.  Returns words (0, 2) and (1, 3) of the results, shaped likewise.  Both halves
    of a round are one array, so that a round is five calls of numpy: at a batch of one they cost.
    """
    for round_key in (key + _SCHEDULE) & _LOW:
        product = (_MULTIPLIERS * even)[::-1]  # 32 x 32 bits fit in 64
        even = (product >> _HALF) ^ odd
        even ^= round_key
        odd = product & _LOW
    return even, odd


def word_pairs(
    seeds: NDArray[np.uint64], stream: int, blocks: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Random words of each seed: (n,) seeds -> words (0, 2) and (1, 3) of each block.

    Both are (2, n, blocks), 32-bit words in uint64.  The key is the seed (low word, high word);
    the counter is (block, 0, stream, 0).
    """
    shape = (2, len(seeds), blocks)
    key = np.stack([seeds & _LOW, seeds >> _HALF])[:, :, None]
    even = np.empty(shape, np.uint64)
    even[0] = np.arange(blocks, dtype=np.uint64)
    even[1] = stream
    return philox4x32(key, even, np.zeros(shape, np.uint64))
