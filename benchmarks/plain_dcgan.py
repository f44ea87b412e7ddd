"""The rival: a DCGAN loop in the idiom of the public tutorials, written for this comparison.

float32, default layout, one sigmoid and BCELoss, a DataLoader over the image files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Z, WIDTH = 100, 64


class Files(Dataset[Tensor]):
    """Images as (1, 64, 64) in [-1, 1], decoded when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(p for p in folder.rglob("*") if p.suffix in (".jpeg", ".jpg", ".png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            small = image.convert("L").resize((64, 64), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(small, np.float32) / 127.5 - 1)[None]


def generator() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = Z
    for i, outputs in enumerate((8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(True),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.ConvTranspose2d(inputs, 1, 4, 2, 1, bias=False), nn.Tanh())


def discriminator() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    inputs = WIDTH
    for outputs in (2 * WIDTH, 4 * WIDTH, 8 * WIDTH):
        layers += [
            nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2, True),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def steps(folder: Path, batch: int, workers: int, device: torch.device) -> Iterator[None]:
    """Train; one step each time the iterator is advanced."""
    loader = DataLoader(
        Files(folder), batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    net_g, net_d = generator().to(device), discriminator().to(device)
    loss = nn.BCELoss()
    adam_g = torch.optim.Adam(net_g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(net_d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    while True:
        for real in loader:
            if len(real) < batch:
                continue  # equal work: full batches alone
            real = real.to(device)
            ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)
            net_d.zero_grad()
            on_real = net_d(real).view(-1)
            loss_real = loss(on_real, ones)
            loss_real.backward()
            fake = net_g(torch.randn(batch, Z, 1, 1, device=device))
            on_fake = net_d(fake.detach()).view(-1)
            loss_fake = loss(on_fake, zeros)
            loss_fake.backward()
            adam_d.step()
            net_g.zero_grad()
            judged = net_d(fake).view(-1)
            loss_g = loss(judged, ones)
            loss_g.backward()
            adam_g.step()
            # What the tutorials print at each step.
            _ = [v.mean().item() for v in (on_real, on_fake, judged, loss_real, loss_fake, loss_g)]
            yield
