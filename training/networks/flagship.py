"""`flagship`: a residual generator and its mirror, with nothing but convolutions in them.

After R3GAN (Huang et al. 2024), from its equations: no normalisation, no style, no minibatch
statistics; a relativistic loss with R1 and R2 holds the game together.  A stage a resolution, each
of residual blocks 1x1 -> 3x3 in groups -> 1x1, begun so that a block changes nothing and the sum
over N blocks keeps its size.  Stages are named by their resolution, so that a run at twice the
resolution can begin with the stages of a smaller one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks import base
from training.networks.base import embedded

GROUP = 16  # channels a group of the 3x3 convolutions
BLOCKS = 2  # a stage
EMBEDDING = 64  # numbers of a class, in both networks
SLOPE = 0.2


def channels_at(width: int, resolution: int) -> int:
    """Channels of a stage: `width` at 64 pixels, twice that below, half for each doubling above.

    Rounded down, so that the twice as many of a block's 3x3 convolution are whole groups.
    """
    if resolution < 64:
        wanted, unit = width * 2, GROUP // 2
    else:
        wanted, unit = width * 64 // resolution, GROUP
    return max(GROUP, wanted // unit * unit)


def resolutions_to(resolution: int) -> list[int]:
    return [2**i for i in range(2, resolution.bit_length())]  # 4, 8, …, resolution


class Block(nn.Module):
    """x + f(x); f begins as zero."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        # He et al.'s gain before a leaky ReLU, and for each of the two inner layers the fourth root
        # of N: N blocks together then add as much as one.
        gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
        self.expand = _convolution(channels, 2 * channels, 1, gain=gain)
        self.spread = _convolution(2 * channels, 2 * channels, 3, 2 * channels // GROUP, gain)
        self.project = _convolution(2 * channels, channels, 1, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.expand(x), SLOPE)
        y = functional.leaky_relu(self.spread(y), SLOPE)
        summed: Tensor = x + self.project(y)
        return summed


class Generator(base.Generator):
    """z (n, latent_dim), label (n,) int64 -> images (n, 1, resolution, resolution) in [-1, 1]."""

    def __init__(self, resolution: int, latent_dim: int, width: int, classes: int = 0) -> None:
        super().__init__(resolution, latent_dim, classes)
        self.embedding = nn.Embedding(classes, EMBEDDING) if classes else None
        sizes = resolutions_to(resolution)
        blocks = BLOCKS * len(sizes)
        first = channels_at(width, 4)
        self.basis = nn.Linear(latent_dim + (EMBEDDING if classes else 0), first * 16)
        nn.init.normal_(self.basis.weight, 0, self.basis.in_features**-0.5)
        nn.init.zeros_(self.basis.bias)
        self.first = first
        self.stages, self.changes = nn.ModuleDict(), nn.ModuleDict()
        inputs = first
        for size in sizes:
            outputs = channels_at(width, size)
            if size > 4:
                self.changes[str(size)] = _convolution(inputs, outputs, 1)
            self.stages[str(size)] = _blocks(outputs, blocks)
            inputs = outputs
        self.picture = nn.ModuleDict({str(resolution): _convolution(inputs, 1, 1, bias=True)})

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        rows = embedded(self.embedding, label, self.label_weight)
        if rows is not None:
            z = torch.cat([z, rows], dim=1)  # (n, latent_dim + 64)
        x = self.basis(z).reshape(-1, self.first, 4, 4)
        for size, stage in self.stages.items():
            if size in self.changes:
                x = functional.interpolate(x, scale_factor=2, mode="nearest")
                x = self.changes[size](x)
            x = stage(x)  # (n, channels, size, size)
        return torch.tanh(self.picture[str(self.resolution)](x))


class Discriminator(base.Discriminator):
    """Images (n, 1, resolution, resolution), label (n,) int64 -> logits (n, 1)."""

    def __init__(self, resolution: int, width: int, classes: int = 0) -> None:
        super().__init__()
        sizes = resolutions_to(resolution)[::-1]
        blocks = BLOCKS * len(sizes)
        inputs = channels_at(width, resolution)
        self.picture = nn.ModuleDict({str(resolution): _convolution(1, inputs, 1, bias=True)})
        self.resolution = resolution
        self.stages, self.changes = nn.ModuleDict(), nn.ModuleDict()
        for size in sizes:
            outputs = channels_at(width, size)
            if size < resolution:
                self.changes[str(size)] = _convolution(inputs, outputs, 1)
            self.stages[str(size)] = _blocks(outputs, blocks)
            inputs = outputs
        self.whole = _convolution(inputs, inputs, 4, groups=inputs, padding=0)
        self.logit = nn.Linear(inputs, EMBEDDING if classes else 1, bias=False)
        nn.init.normal_(self.logit.weight, 0, inputs**-0.5)
        self.embedding = nn.Embedding(classes, EMBEDDING) if classes else None

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.picture[str(self.resolution)](images)
        for size, stage in self.stages.items():
            if size in self.changes:
                x = self.changes[size](functional.avg_pool2d(x, 2))
            x = stage(x)  # (n, channels, size, size)
        found: Tensor = self.logit(self.whole(x).flatten(1))  # (n, 64), or (n, 1)
        # The first number is judged without the class: all of it, while labels are ramped in.
        logits: Tensor = found[:, :1]
        rows = embedded(self.embedding, label, self.label_weight)
        if rows is not None:
            logits = logits + (found * rows).sum(1, keepdim=True) * EMBEDDING**-0.5
        return logits


def _blocks(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels, blocks) for _ in range(BLOCKS)))


def _convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    groups: int = 1,
    gain: float = 1.0,
    bias: bool = False,
    padding: int | None = None,
) -> nn.Conv2d:
    """Weights N(0, gain^2 / fan-in)."""
    padding = kernel // 2 if padding is None else padding
    layer = nn.Conv2d(inputs, outputs, kernel, 1, padding, groups=groups, bias=bias)
    fan_in = inputs // groups * kernel**2
    nn.init.normal_(layer.weight, 0, gain * fan_in**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
