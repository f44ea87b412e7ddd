"""Known damage, done to real images: what a number means, on the user's own data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Levels = NDArray[np.uint8]
COLLAPSED = 50  # images that a collapsed generator repeats


def flipped(levels: Levels) -> Levels:
    return np.ascontiguousarray(levels[:, :, ::-1])


def lower_resolution(levels: Levels, factor: int = 2) -> Levels:
    side = levels.shape[1]
    small = (side // factor, side // factor)
    return _each(
        levels,
        lambda image: image.resize(small, Image.Resampling.BICUBIC).resize(
            (side, side), Image.Resampling.BICUBIC
        ),
    )


def through(levels: Levels, side: int) -> Levels:
    """Through a smaller picture and back."""
    full = levels.shape[1]
    return _each(
        levels,
        lambda image: image.resize((side, side), Image.Resampling.BICUBIC).resize(
            (full, full), Image.Resampling.BICUBIC
        ),
    )


def blurred(levels: Levels, sigma: float = 1.0) -> Levels:
    return _each(levels, lambda image: image.filter(ImageFilter.GaussianBlur(sigma)))


def noisy(levels: Levels, sigma: float, random: np.random.Generator) -> Levels:
    noise = random.normal(0, sigma, levels.shape)
    return np.clip(np.rint(levels + noise), 0, 255).astype(np.uint8)


def rotated(levels: Levels, degrees: float = 5.0) -> Levels:
    return _each(levels, lambda image: image.rotate(degrees, Image.Resampling.BICUBIC))


def shuffled(levels: Levels, random: np.random.Generator, patches: int = 4) -> Levels:
    """Each picture cut into patches x patches, which change places."""
    n, side = len(levels), levels.shape[1] // patches
    used = levels[:, : side * patches, : side * patches]
    cut = used.reshape(n, patches, side, patches, side).transpose(0, 1, 3, 2, 4)
    cut = cut.reshape(n, patches * patches, side, side)
    mixed = np.stack([each[random.permutation(patches * patches)] for each in cut])
    mixed = mixed.reshape(n, patches, patches, side, side).transpose(0, 1, 3, 2, 4)
    result = levels.copy()
    result[:, : side * patches, : side * patches] = mixed.reshape(n, side * patches, side * patches)
    return result


def collapsed(images: NDArray[Any], kept: int = COLLAPSED) -> NDArray[Any]:
    """A few of the images, or of their rows, again and again."""
    return images[np.arange(len(images)) % min(kept, max(1, len(images) // 2))]


def _each(levels: Levels, change: Callable[[Image.Image], Image.Image]) -> Levels:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in levels])
