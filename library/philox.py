"""Philox4x32-10: a random function of (key, counter), the same on every machine.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(key: NDArray[np.uint64], counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Ten rounds of Philox4x32.

    key: (…, 2) and counter: (…, 4), 32-bit words held in uint64, broadcast together.
    Returns (…, 4) 32-bit words in uint64.
    """
    k0, k1 = key[..., 0], key[..., 1]
    c0, c1, c2, c3 = (counter[..., i] for i in range(4))
    for _ in range(10):
        left = _MULTIPLIERS[0] * c0  # 32 x 32 bits fit in 64
        right = _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (right >> _HALF) ^ c1 ^ k0,
            right & _LOW,
            (left >> _HALF) ^ c3 ^ k1,
            left & _LOW,
        )
        k0 = (k0 + np.uint64(_WEYL[0])) & _LOW
        k1 = (k1 + np.uint64(_WEYL[1])) & _LOW
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1)


def words(seeds: NDArray[np.uint64], stream: int, blocks: int) -> NDArray[np.uint64]:
    """Random words of each seed: (n,) seeds -> (n, 4 * blocks) 32-bit words in uint64.

    The key is the seed (low word, high word); the counter is (block, 0, stream, 0).
    """
    key = np.stack([seeds & _LOW, seeds >> _HALF], axis=-1)[:, None, :]
    counter = np.zeros((1, blocks, 4), np.uint64)
    counter[0, :, 0] = np.arange(blocks, dtype=np.uint64)
    counter[0, :, 2] = np.uint64(stream)
    return philox4x32(key, counter).reshape(len(seeds), 4 * blocks)
