"""`lite`: a conditional network of DCGAN's size with the losses and the care of later years.

Generator: DCGAN's stages (Radford et al. 2015) with one more at full resolution, so that fine
texture is drawn by a convolution of its own and not by the last upsampling.
Discriminator: no batch norm; spectral norm (Miyato et al. 2018), the standard deviation over each
class of the minibatch as a feature (after Karras et al. 2018), and the projection of its features
on a class embedding (Miyato and Koyama 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.networks import base
from training.networks.base import embedded
from training.networks.dcgan import Upsampling, stage_channels


class Generator(Upsampling):
    """z (n, latent_dim), label (n,) int64 -> images (n, 1, resolution, resolution) in [-1, 1]."""

    def __init__(self, resolution: int, latent_dim: int, width: int, classes: int = 0) -> None:
        super().__init__(resolution, latent_dim, classes)
        channels = [*stage_channels(width, resolution), max(width // 2, 8)]
        layers = self.stages(channels)
        self.main = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, 1, 1), nn.Tanh())
        for module in self.main:
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)


class Discriminator(base.Discriminator):
    """Images (n, 1, resolution, resolution), label (n,) int64 -> logits (n, 1)."""

    def __init__(self, resolution: int, width: int, classes: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in stage_channels(width, resolution)[::-1]:
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.main = nn.Sequential(*layers)
        self.last = spectral_norm(nn.Conv2d(inputs + 1, inputs, 3, 1, 1))
        self.logit = spectral_norm(nn.Linear(inputs, 1))
        self.embedding = spectral_norm(nn.Embedding(classes, inputs)) if classes else None
        self.classes = classes

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.main(images)  # (n, channels, 4, 4)
        told = label if self.embedding is not None and self.label_weight > 0 else None
        features = torch.cat([features, minibatch_deviation(features, told, self.classes)], dim=1)
        pooled = nn.functional.leaky_relu(self.last(features), 0.2).sum((2, 3))  # (n, channels)
        logits: Tensor = self.logit(pooled)  # (n, 1)
        rows = embedded(self.embedding, label, self.label_weight)
        return logits if rows is None else logits + (pooled * rows).sum(1, keepdim=True)


def minibatch_deviation(features: Tensor, label: Tensor | None = None, classes: int = 1) -> Tensor:
    """How much the images of a batch differ, one map of it an image: (n, 1, h, w).

    Each class on its own: a mixed group would hide that one of them has lost its variety.  A batch
    of generated images is asked for the labels of the real one, so the two can be compared.
    """
    n, _, height, width = features.shape
    flat = features.float().flatten(1)  # (n, c h w)
    if label is None:
        label, classes = torch.zeros(n, dtype=torch.int64, device=features.device), 1
    # Counted from the labels, their number would have to be brought from the device.
    member = (label[:, None] == torch.arange(classes, device=label.device)).to(
        flat.dtype
    )  # (n, classes)
    share = member / member.sum(0).clamp(min=1)
    # Around the batch's mean: a difference of large squares has few digits.
    centred = flat - flat.mean(0)
    mean, square = share.T @ centred, share.T @ centred.square()  # (classes, c h w)
    # Where all images are equal the root has no gradient: hence the constant.
    deviation = ((square - mean.square()).clamp(min=0) + 1e-8).sqrt().mean(1)  # (classes,)
    maps = (member @ deviation)[:, None, None, None].expand(n, 1, height, width)
    return maps.to(features.dtype)
