"""`turbo`: a second discriminator that looks through a frozen network joins `lite`'s.

After Projected GANs (Sauer et al. 2021): maps of EfficientNet-Lite1 at four strides are mixed by
fixed random convolutions, across channels (1x1) and scales (3x3, top down), so that no one of them
can be attended to alone; a small discriminator with spectral norm judges each scale, by places.
What differs here: classes by projection (Miyato and Koyama 2018), mixed maps all of one width, and
that it is not alone.  By itself it made one sharp image a class (docs/training.md).  So `lite`
begins, whose penalties and minibatch deviation spread the samples, and stays; the frozen features
join after FEATURES_FROM images and bring the detail.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from training.networks import base, lite
from training.networks.base import Judge, embedded
from training.networks.efficientnet import CHANNELS, Features
from training.networks.lite import Generator, minibatch_deviation

__all__ = ["Discriminator", "Generator"]

FEATURES_FROM = 50_000  # images; before, they see nothing but that all samples are no radiographs
FEATURES_WEIGHT = 0.1  # of their loss, beside lite's
MIXED = 64  # channels of the mixed maps
JUDGED = 128  # channels of the maps that a logit and a class's projection are taken of


class Discriminator(base.Discriminator):
    """Images (n, 1, resolution, resolution), label (n,) int64 -> logits (n, 1 + 64), or (n, 1)."""

    phases = (0, FEATURES_FROM)

    def __init__(self, resolution: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.pixels = lite.Discriminator(resolution, width, classes)
        # The frozen network was trained on larger pictures: small ones are enlarged for it.
        self.side = max(128, min(256, 2 * resolution))
        self.features = Features()
        self.mixing = Mixing()
        self.heads = nn.ModuleList(
            Head(self.side // 4 // 2**scale, classes) for scale in range(len(CHANNELS))
        )

    def begin(self, images: int) -> None:
        joined = images >= FEATURES_FROM
        others = (Judge(1, None, "hinge", FEATURES_WEIGHT),) if joined else ()
        self.judges = (Judge(0, 1), *others)
        self.pixels.label_weight = self.label_weight

    def fixed(self, images: Tensor) -> tuple[Tensor, ...]:
        """The mixed maps (n, MIXED, side, side) of four scales; nothing before they join."""
        if len(self.judges) == 1:
            return ()
        if images.shape[-1] < self.side:
            size = (self.side, self.side)
            images = functional.interpolate(images, size, mode="bilinear", align_corners=False)
        elif images.shape[-1] > self.side:
            images = functional.avg_pool2d(images, images.shape[-1] // self.side)
        return tuple(self.mixing(self.features(images)))

    def forward(self, images: Tensor, label: Tensor | None = None, *fixed: Tensor) -> Tensor:
        logits: Tensor = self.pixels(images, label)
        if len(self.judges) == 1:
            return logits
        maps = fixed or self.fixed(images)
        judged = [
            head(x, label, self.label_weight) for head, x in zip(self.heads, maps, strict=True)
        ]
        return torch.cat([logits, *judged], 1)


class Mixing(nn.Module):
    """Maps of four scales -> as many of MIXED channels each, by fixed random convolutions."""

    def __init__(self) -> None:
        super().__init__()
        for scale, channels in enumerate(CHANNELS):
            # Buffers: never trained, and saved with a run.
            self.register_buffer(f"across{scale}", _random(MIXED, channels, 1))
            if scale < len(CHANNELS) - 1:
                self.register_buffer(f"down{scale}", _random(MIXED, MIXED, 3))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        across = [
            functional.conv2d(x, self.get_buffer(f"across{scale}")) for scale, x in enumerate(maps)
        ]
        mixed = [across[-1]]
        for scale in reversed(range(len(maps) - 1)):
            above = functional.interpolate(mixed[0], scale_factor=2, mode="nearest")
            # Over sqrt 2: the sum of two keeps the size of one.
            summed = (across[scale] + above) / 2**0.5
            mixed.insert(0, functional.conv2d(summed, self.get_buffer(f"down{scale}"), padding=1))
        return mixed


class Head(nn.Module):
    """Mixed maps (n, MIXED, side, side) -> logits (n, 16): convolutions down to 4x4 places."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, outputs = MIXED, MIXED
        while side > 4:
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
            inputs, outputs, side = outputs, min(2 * outputs, 4 * MIXED), side // 2
        self.main = nn.Sequential(*layers)
        self.last = spectral_norm(nn.Conv2d(inputs + 1, JUDGED, 3, 1, 1))
        self.logit = spectral_norm(nn.Conv2d(JUDGED, 1, 1))
        self.embedding = spectral_norm(nn.Embedding(classes, JUDGED)) if classes else None
        self.classes = classes

    def forward(self, x: Tensor, label: Tensor | None, label_weight: float) -> Tensor:
        x = self.main(x)
        told = label if self.embedding is not None and label_weight > 0 else None
        x = torch.cat([x, minibatch_deviation(x, told, self.classes)], dim=1)
        features = functional.leaky_relu(self.last(x), 0.2)  # (n, JUDGED, 4, 4)
        logits: Tensor = self.logit(features)[:, 0]  # (n, 4, 4)
        rows = embedded(self.embedding, label, label_weight)
        if rows is not None:
            logits = logits + (features * rows[:, :, None, None]).sum(1)
        return logits.flatten(1)


def _random(outputs: int, inputs: int, kernel: int) -> Tensor:
    weight = torch.empty(outputs, inputs, kernel, kernel)
    nn.init.kaiming_normal_(weight)
    return weight
