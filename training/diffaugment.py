"""Augmentation of what the discriminator sees: differentiable, and safe for radiographs.

After Zhao et al. 2020, with its strength adapted as by Karras et al. 2020.  Both kinds of images
are augmented alike, so that the generator learns the images and not the augmentation.  There is no
flip, quarter turn or inversion: the heart's side and the polarity are clinical facts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from library.config import DiffAugment
from training.seeds import Stream, generator

_KINDS = 6  # shift, scale, rotation, brightness, contrast, cutout
DRAWS = _KINDS + 8
ADAPT_KIMG = 500.0  # thousands of images in which the probability could go from 0 to 1
PROBABILITY_MAX = 0.8
_REMEMBERED = 0.98  # of the mean overfitting, a step


def draws(run_seed: int, step: int, count: int) -> Tensor:
    """Numbers of a step, (2, count, DRAWS) float32 uniform in [0, 1): for real and generated."""
    uniform = generator(run_seed, Stream.DIFFAUGMENT, step).random((2, count, DRAWS), "float32")
    return torch.from_numpy(uniform)


def augment(images: Tensor, draw: Tensor, rule: DiffAugment, probability: float | Tensor) -> Tensor:
    """Images (n, 1, r, r) in [-1, 1], each moved, lit and covered by its numbers (n, DRAWS)."""
    on = (draw[:, :_KINDS] < probability).float()  # (n, 6)
    value = 2 * draw[:, _KINDS:] - 1  # (n, 8), uniform in [-1, 1)
    images = _moved(images, on, value, rule)
    images = _lit(images, on, value, rule)
    return images * _uncovered(images.shape[-1], on[:, 5], value[:, 6:8], rule.cutout)


def _moved(images: Tensor, on: Tensor, value: Tensor, rule: DiffAugment) -> Tensor:
    """One bilinear resampling; outside is black."""
    angle = on[:, 2] * value[:, 3] * math.radians(rule.rotation)
    zoom = (on[:, 1] * value[:, 2] * math.log1p(rule.scale)).exp()
    shift = 2 * rule.shift * on[:, :1] * value[:, :2]  # (n, 2); the picture is 2 wide
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    maps = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], 1).reshape(-1, 2, 3)
    # The sampling itself stays in float32: coordinates in bfloat16 are off by a quarter pixel.
    with torch.autocast(images.device.type, enabled=False):
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        whiter = images.float() + 1  # zero padding is black only when black is zero
        if torch.are_deterministic_algorithms_enabled():
            return gathered(whiter, grid) - 1
        moved = functional.grid_sample(
            whiter, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )
    return moved - 1


def gathered(images: Tensor, grid: Tensor) -> Tensor:
    """As grid_sample (bilinear, zeros outside), whose gradient CUDA adds up in no fixed order."""
    n, side = len(images), images.shape[-1]
    flat = functional.pad(images, (1, 1, 1, 1)).reshape(n, -1)  # what lies outside is zero
    place = (grid + 1) * (side / 2) - 0.5  # (n, r, r, 2): x, y in pixels
    first = place.floor()
    part = place - first
    found = torch.zeros_like(images)
    for right in (0, 1):
        for down in (0, 1):
            x, y = ((first[..., i] + step).clamp(-1, side).long() + 1
                    for i, step in enumerate((right, down)))  # fmt: skip
            value = flat.gather(1, (y * (side + 2) + x).reshape(n, -1)).reshape(n, 1, side, side)
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (
                part[..., 1] if down else 1 - part[..., 1]
            )
            found = found + value * weight[:, None]
    return found


def _lit(images: Tensor, on: Tensor, value: Tensor, rule: DiffAugment) -> Tensor:
    brighter = rule.brightness * on[:, 3] * value[:, 4]
    factor = 1 + rule.contrast * on[:, 4] * value[:, 5]
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * _over(factor) + mean + _over(brighter)


def _uncovered(side: int, on: Tensor, middle: Tensor, share: float) -> Tensor:
    """(n, 1, r, r): 0 inside the square of an image, 1 elsewhere."""
    place = (torch.arange(side, device=on.device) + 0.5) * (2 / side) - 1  # (r,), in [-1, 1]
    inside = (place - middle[:, :, None]).abs() < share  # (n, 2, r)
    square = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
    return 1 - square * _over(on)


def _over(values: Tensor) -> Tensor:
    return values[:, None, None, None]


class Adaptive(nn.Module):
    """The probability, moved towards a wanted overfitting; saved with the run.

    Overfitting is the mean sign of D(x) - D(G(z)) over pairs of real and generated images: 0 where
    the discriminator cannot tell them, 1 where it is always right.
    """

    probability: Tensor
    overfitting: Tensor

    def __init__(self, first: float, target: float) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("probability", torch.tensor(first))
        self.register_buffer("overfitting", torch.tensor(target))

    @torch.no_grad()
    def look(self, overfitting: Tensor, batch_size: int) -> None:
        """Take the overfitting of a step into account, without waiting for the device."""
        self.overfitting.lerp_(overfitting.float(), 1 - _REMEMBERED)
        step = batch_size / (1000 * ADAPT_KIMG)
        self.probability += step * (self.overfitting - self.target).sign()
        self.probability.clamp_(0, PROBABILITY_MAX)
