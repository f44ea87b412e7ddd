"""A small classifier of radiographs, trained here: second feature space and judge of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.images import Images
from library.config import DiffAugment
from training.diffaugment import augment, draws

EPOCHS, BATCH, RATE = 16, 64, 1e-3
WIDTHS = (32, 64, 128, 128)
AUGMENTED = DiffAugment(probability=0.5, cutout=0.0)


class Classifier(nn.Module):
    """Grey images (n, 1, r, r) in [-1, 1] -> features (n, 128) and logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in WIDTHS:
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs),
                       nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
                       nn.BatchNorm2d(outputs), nn.ReLU()]  # fmt: skip
            inputs = outputs
        self.main = nn.Sequential(*layers)
        self.last = nn.Linear(inputs, classes)

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.main(images).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(images))
        return logits


def tensor(levels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.array(levels)).float()[:, None] / 127.5 - 1


def fitted(images: Images, classes: int, seed: int) -> Classifier:
    """Each class as often as any other; augmented, so that it does not learn the few by heart."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = Classifier(classes)
    rows = [images.rows(k) for k in range(classes)]
    steps = EPOCHS * max(1, len(images) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE * 3, total_steps=steps)
    for step in range(steps):
        labels = random.integers(0, classes, BATCH)
        chosen = np.array([random.choice(rows[k]) for k in labels])
        batch = augment(tensor(images.levels[chosen]), draws(seed, step, BATCH)[0], AUGMENTED, 0.5)
        loss = nn.functional.cross_entropy(network(batch), torch.from_numpy(labels))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def seen(network: Classifier, levels: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (n, 128) float32 and probabilities (n, classes)."""
    features, probabilities = [], []
    for start in range(0, len(levels), 256):
        found = network.features(tensor(levels[start : start + 256]))
        features.append(found.numpy())
        probabilities.append(network.last(found).softmax(1).numpy())
    return np.concatenate(features), np.concatenate(probabilities)
