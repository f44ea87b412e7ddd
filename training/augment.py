"""The paper's traditional augmentation: rotation, crop, scale, flip in one resampling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from library.augmentation import DRAWS
from library.augmentation import maps as library_maps
from library.config import Augmentation
from training.seeds import Stream, generator


def affine(rule: Augmentation, run_seed: int, step: int, count: int) -> Tensor:
    """One affine map an image, (count, 2, 3) float32: output to input coordinates in [-1, 1].

    Drawn from (run seed, step) alone; every image uses the same number of draws whatever is on.
    """
    draw = generator(run_seed, Stream.AUGMENTATION, step).random((count, DRAWS))
    return torch.from_numpy(library_maps(rule, draw))


def augment(images: Tensor, maps: Tensor) -> Tensor:
    """Resample images (n, 1, h, w) in [-1, 1] by maps (n, 2, 3); outside is black (-1)."""
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    # Zero padding is black only when black is zero.
    moved = functional.grid_sample(
        images + 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved - 1
