"""Likeness of pictures as such: normalised correlation of 32 x 32 thumbnails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from library.near_copies import SIDE, thumbnail


def thumbnails(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, r, r) -> (n, 32, 32): means of what each pixel covers."""
    found = np.empty((len(levels), SIDE, SIDE), np.uint8)
    for i, image in enumerate(levels):
        found[i] = thumbnail(image)
    return found


def unit(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails as rows without mean, of length 1 (a flat one: 0): products are correlations."""
    rows = small.reshape(len(small), -1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths > 1e-6, lengths, np.inf)
    return rows
