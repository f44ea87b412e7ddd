"""The paper's traditional augmentation (its figure 2): which map each image is moved by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.config import Augmentation

DRAWS = 6  # numbers an image, whatever is on


def maps(rule: Augmentation, draw: NDArray[np.float64]) -> NDArray[np.float32]:
    """One affine map an image, (count, 2, 3): output to input coordinates in [-1, 1].

    draw: (count, 6), uniform in [0, 1).
    """
    angle = np.deg2rad(rule.rotation) * (2 * draw[:, 0] - 1)
    kept = 1 - rule.crop * draw[:, 1]  # side of the crop as a fraction of the picture
    zoom = kept / (1 + rule.scale * (2 * draw[:, 2] - 1))
    mirror = np.where(rule.flip & (draw[:, 3] < 0.5), -1.0, 1.0)
    shift = (1 - kept)[:, None] * (2 * draw[:, 4:6] - 1)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    rows = np.stack(
        [
            np.stack([mirror * cos, -sin, shift[:, 0]], axis=1),
            np.stack([mirror * sin, cos, shift[:, 1]], axis=1),
        ],
        axis=1,
    )
    return rows.astype(np.float32)


def moved(levels: NDArray[np.uint8], rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture (r, r) moved by a map (2, 3), bilinear, black outside: as training does it.

    (training.augment does it on tensors; the two differ by rounding.)
    """
    half = len(levels) / 2
    (a, b, c), (d, e, f) = rows.astype(float)
    # From [-1, 1] to pixels, the middle of the first being 0.5.
    pixels = (a, b, half * (1 + c - a - b), d, e, half * (1 + f - d - e))
    picture = Image.fromarray(levels).transform(
        (len(levels), len(levels)), Image.Transform.AFFINE, pixels, Image.Resampling.BILINEAR
    )
    return np.asarray(picture, np.uint8)
