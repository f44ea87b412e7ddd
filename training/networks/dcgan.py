"""The paper's DCGAN (Radford, Metz and Chintala 2015), for 64 to 512 pixels, with classes.

At 64 pixels and width 64 the generator's `main` has the paper's 14 modules.  A doubling of the
resolution adds a stage of twice the channels at the 4x4 end, at most 1,024.
Classes: the generator's latent is joined by a class embedding; the discriminator's logit gains
the projection of its mean features on a class embedding (Miyato and Koyama 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.networks import base
from training.networks.base import CLASS_EMBEDDING, embedded

CHANNELS_MAX = 1024


def stage_channels(width: int, resolution: int) -> list[int]:
    """Channels after each generator stage, 4x4 first: 512, 256, 128, 64 at 64 px, width 64."""
    stages = resolution.bit_length() - 3  # 64 -> 4: 4x4, 8x8, 16x16, 32x32
    largest = max(CHANNELS_MAX, 8 * width)
    return [min(width * 2**i, largest) for i in reversed(range(stages))]


class Upsampling(base.Generator):
    """One stack of layers on the latent, joined by the class's embedding.

    z (n, latent_dim), label (n,) int64 -> images (n, 1, resolution, resolution) in [-1, 1].
    """

    main: nn.Sequential

    def __init__(self, resolution: int, latent_dim: int, classes: int) -> None:
        super().__init__(resolution, latent_dim, classes)
        # N(0, 1), torch's own: a class can move the first layer as far as the latent does.
        self.embedding = nn.Embedding(classes, CLASS_EMBEDDING) if classes else None

    def stages(self, channels: Sequence[int]) -> list[nn.Module]:
        """DCGAN's: to 4x4, then twice the side each, with batch norm and ReLU."""
        inputs = self.latent_dim + (CLASS_EMBEDDING if self.classes else 0)
        layers: list[nn.Module] = []
        for i, outputs in enumerate(channels):
            stride, padding = (1, 0) if i == 0 else (2, 1)
            # The bias would be removed by the batch norm that follows.
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
            inputs = outputs
        return layers

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        rows = embedded(self.embedding, label, self.label_weight)
        if rows is not None:
            z = torch.cat([z, rows], dim=1)  # (n, latent_dim + 32)
        images: Tensor = self.main(z[:, :, None, None])  # (n, 1, resolution, resolution)
        return images


class Generator(Upsampling):
    """The paper's: the last transposed convolution draws the picture."""

    def __init__(self, resolution: int, latent_dim: int, width: int, classes: int = 0) -> None:
        super().__init__(resolution, latent_dim, classes)
        channels = stage_channels(width, resolution)
        layers = self.stages(channels)
        layers += [nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        self.apply(_initialise)


class Discriminator(base.Discriminator):
    """Images (n, 1, resolution, resolution), label (n,) int64 -> logits (n, 1): real above 0.

    In training each class is a batch of its own: the batch norm then sees when a class lacks
    variety.  In one mixed batch the variety of a large class hides the loss of it in a small one.
    Measured in docs/training.md: it keeps twice the variety in the first 15 epochs, and does not
    prevent a later collapse.
    """

    def __init__(self, resolution: int, width: int, classes: int = 0) -> None:
        super().__init__()
        channels = stage_channels(width, resolution)[::-1]
        layers: list[nn.Module] = []
        inputs = 1
        for i, outputs in enumerate(channels):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
            if i > 0:  # the layer that sees pixels has no batch norm
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            inputs = outputs
        self.main = nn.Sequential(*layers)
        # The sigmoid of the paper's last layer lives in the loss (logits are steadier).
        self.logit = nn.Conv2d(inputs, 1, 4, 1, 0, bias=False)
        self.embedding = nn.Embedding(classes, inputs) if classes else None
        self.capturable = not classes  # their numbers in a batch decide what is computed
        self.apply(_initialise)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, 0.02)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        rows = embedded(self.embedding, label, self.label_weight)
        if rows is None or label is None:
            mixed: Tensor = self.logit(self.main(images)).flatten(1)  # (n, 1)
            return mixed
        if not self.training:
            return self._of_class(images, rows)
        order = torch.argsort(label, stable=True)
        parts = torch.split(order, torch.bincount(label).tolist())
        logits = torch.cat([self._of_class(images[i], rows[i]) for i in parts if len(i)])
        return logits[torch.argsort(order)]

    def _of_class(self, images: Tensor, rows: Tensor) -> Tensor:
        features = self.main(images)  # (n, channels, 4, 4)
        pooled = features.mean((2, 3))  # (n, channels)
        logits: Tensor = self.logit(features).flatten(1) + (pooled * rows).sum(1, keepdim=True)
        return logits


def _initialise(module: nn.Module) -> None:
    """DCGAN initialisation: N(0, 0.02) for convolutions, N(1, 0.02) for batch norm scales."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
