"""MS-SSIM of pairs: how alike images of one set are (Wang, Simoncelli & Bovik, 2003).

Gaussian window of 11 pixels and sigma 1.5, valid region, means of 2 x 2 between scales; of the
five scales and weights those that the picture is large enough for, weights renormalised.  Pictures
above 128 pixels are halved first: the number is to show variety, at a bounded cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_TOGETHER = 64  # pairs, so that memory stays small
_SIDE_MAX = 128


def _gaussian() -> Array:
    x = np.arange(_WINDOW, dtype=np.float64) - _WINDOW // 2
    weights = np.exp(-(x**2) / (2 * 1.5**2))
    kernel: Array = (weights / weights.sum()).astype(np.float32)
    return kernel


_KERNEL = _gaussian()


def scales(side: int) -> int:
    """How many scales a picture of this side has: each must hold a window."""
    count = 1
    while count < len(_WEIGHTS) and side >> count >= _WINDOW:
        count += 1
    return count


def ms_ssim(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of pairs (n, r, r) uint8, r >= 11: (n,)."""
    found = [
        _some(
            one[i : i + _TOGETHER].astype(np.float32), other[i : i + _TOGETHER].astype(np.float32)
        )
        for i in range(0, len(one), _TOGETHER)
    ]
    return np.concatenate(found) if found else np.zeros(0)


def _some(x: Array, y: Array) -> NDArray[np.float64]:
    while x.shape[-1] > _SIDE_MAX:
        x, y = _halved(x), _halved(y)
    count = scales(x.shape[-1])
    weights = np.array(_WEIGHTS[:count]) / sum(_WEIGHTS[:count])
    result = np.ones(len(x))
    for scale in range(count):
        luminance, contrast = _terms(x, y)
        value = luminance * contrast if scale == count - 1 else contrast
        # A negative structure has no power; it is no likeness either.
        result *= np.maximum(value.mean((1, 2), dtype=np.float64), 0.0) ** weights[scale]
        x, y = _halved(x), _halved(y)
    return result


def _terms(x: Array, y: Array) -> tuple[Array, Array]:
    mx, my = _blur(x), _blur(y)
    vx, vy = _blur(x * x) - mx * mx, _blur(y * y) - my * my
    cov = _blur(x * y) - mx * my
    two, c1, c2 = np.float32(2), np.float32(_C1), np.float32(_C2)
    luminance: Array = (two * mx * my + c1) / (mx * mx + my * my + c1)
    contrast: Array = (two * cov + c2) / (vx + vy + c2)
    return luminance, contrast


def _blur(x: Array) -> Array:
    side = x.shape[-1] - _WINDOW + 1
    rows = np.zeros((len(x), side, x.shape[-1]), np.float32)
    blurred = np.zeros((len(x), side, side), np.float32)
    for i, weight in enumerate(_KERNEL):
        rows += weight * x[:, i : i + side]
    for i, weight in enumerate(_KERNEL):
        blurred += weight * rows[:, :, i : i + side]
    return blurred


def _halved(x: Array) -> Array:
    side = x.shape[-1] // 2 * 2
    x = x[:, :side, :side]
    total: Array = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return total / np.float32(4)
