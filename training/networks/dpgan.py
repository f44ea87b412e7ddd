"""`dpgan`: networks for training with differential privacy (Xie et al. 2018).

Generator: DCGAN's.  It never sees a real image, so it may have batch norm.
Discriminator: DCGAN's with group norm (Wu and He 2018) in place of batch norm, so that an image's
logit, and with it the gradient of its loss, depends on this image alone.  No spectral norm: its
weights are a function of all weights of a layer, and have no gradient of a single image in opacus.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks import base, dcgan
from training.networks.base import embedded
from training.networks.dcgan import stage_channels

_GROUPS = 8


class Generator(dcgan.Generator):
    """z (n, latent_dim), label (n,) int64 -> images (n, 1, resolution, resolution) in [-1, 1].

    Beside real images its samples are drawn with running statistics, and those are of the last
    batch alone: where they lag behind, the discriminator learns to see that they do, and nothing
    else (measured: D(G(z)) of 0.01 with statistics of ten batches and of 0.99 with a batch's own).
    """

    def __init__(self, resolution: int, latent_dim: int, width: int, classes: int = 0) -> None:
        super().__init__(resolution, latent_dim, width, classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0


class Discriminator(base.Discriminator):
    """Images (n, 1, resolution, resolution), label (n,) int64 -> logits (n, 1): real above 0."""

    capturable = False  # batches of real images differ in size

    def __init__(self, resolution: int, width: int, classes: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for i, outputs in enumerate(stage_channels(width, resolution)[::-1]):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1))
            if i > 0:
                layers.append(nn.GroupNorm(_groups(outputs), outputs))
            layers.append(nn.LeakyReLU(0.2))  # not in place: opacus keeps the layers' inputs
            inputs = outputs
        self.main = nn.Sequential(*layers)
        self.logit = nn.Conv2d(inputs, 1, 4, 1, 0)
        self.embedding = nn.Embedding(classes, inputs) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, 0.02)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.main(images)  # (n, channels, 4, 4)
        logits: Tensor = self.logit(features).flatten(1)  # (n, 1)
        rows = embedded(self.embedding, label, self.label_weight)
        if rows is None:
            return logits
        pooled: Tensor = features.mean((2, 3))  # (n, channels)
        return logits + (pooled * rows).sum(1, keepdim=True)


def _groups(channels: int) -> int:
    """Of a width that eight does not divide, the most that do."""
    return max(n for n in range(1, _GROUPS + 1) if channels % n == 0)
