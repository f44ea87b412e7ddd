"""The paper's traditional augmentation: rotation, crop, scale, flip in one resampling."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from library.config import Augmentation
from training.seeds import Stream, generator


def affine(rule: Augmentation, run_seed: int, step: int, count: int) -> Tensor:
    """One affine map an image, (count, 2, 3) float32: output to input coordinates in [-1, 1].

    Drawn from (run seed, step) alone; every image uses the same number of draws whatever is on.
    """
    draw = generator(run_seed, Stream.AUGMENTATION, step).random((count, 6))
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
    return torch.from_numpy(rows.astype(np.float32))


def augment(images: Tensor, maps: Tensor) -> Tensor:
    """Resample images (n, 1, h, w) in [-1, 1] by maps (n, 2, 3); outside is black (-1)."""
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    # Zero padding is black only when black is zero.
    moved = functional.grid_sample(
        images + 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved - 1
