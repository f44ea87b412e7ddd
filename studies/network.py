"""A small convolutional network from scratch: what a radiology group would train first.

One thread, so that a machine's other cores take other runs and that the bits are the same on any
number of them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from library.augmentation import DRAWS, maps
from studies.arms import BATCH, Shown
from training.augment import augment

WIDTHS = (16, 32, 64, 128)
RATE, DECAY = 3e-3, 1e-2
_TESTED = 256  # images at once


class Network(nn.Module):
    """Grey images (n, 1, r, r) in [-1, 1] -> logits (n, classes)."""

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

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.main(images).mean((2, 3)))
        return logits


class Pictures:
    """Real and synthetic levels (·, r, r) uint8 with their classes, as one set of rows."""

    def __init__(
        self, real: NDArray[np.uint8], classes: NDArray[np.int64],
        synthetic: NDArray[np.uint8], labels: NDArray[np.int64],
    ) -> None:  # fmt: skip
        self._real, self._synthetic = real, synthetic
        self.classes = np.concatenate([classes, labels])

    def rows(self, real: NDArray[np.int64], synthetic: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([real, len(self._real) + synthetic])

    def tensor(self, rows: NDArray[np.int64]) -> Tensor:
        """(n, 1, r, r) float32 in [-1, 1]."""
        of_real = rows < len(self._real)
        levels = np.empty((len(rows), *self._real.shape[1:]), np.uint8)
        levels[of_real] = self._real[rows[of_real]]
        levels[~of_real] = self._synthetic[rows[~of_real] - len(self._real)]
        return as_tensor(levels)


def as_tensor(levels: NDArray[np.uint8]) -> Tensor:
    images = torch.from_numpy(np.ascontiguousarray(levels)).float()[:, None] / 127.5 - 1
    return images.contiguous(memory_format=torch.channels_last)


def fitted(pictures: Pictures, shown: Shown, classes: int, steps: int, seed: int) -> Network:
    """Train for so many steps, AdamW with a one-cycle rate; the same arguments, the same bits."""
    torch.manual_seed(seed)
    network = Network(classes)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    random = np.random.Generator(np.random.Philox(key=[seed, 7 << 32]))
    rows = pictures.rows(shown.real, shown.synthetic)
    order = _Order(rows, pictures.classes, shown.balanced, random)
    early = order
    if shown.first is not None:
        early = _Order(pictures.rows(*shown.first), pictures.classes, False, random)
    weights = _weights(pictures.classes[rows], classes) if shown.weighted else None
    for step in range(steps):
        chosen = (early if 2 * step < steps else order).next(BATCH)
        batch = pictures.tensor(chosen)
        if shown.augmentation is not None:
            moves = maps(shown.augmentation, random.random((BATCH, DRAWS)))  # nosec B311 # NumPy
            batch = augment(batch, torch.from_numpy(moves))
        labels = torch.from_numpy(pictures.classes[chosen])
        loss = nn.functional.cross_entropy(network(batch), labels, weight=weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval()
    return network


@torch.no_grad()
def probabilities(network: Network, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, classes)."""
    found = [
        network(as_tensor(levels[start : start + _TESTED])).double().softmax(1).numpy()
        for start in range(0, len(levels), _TESTED)
    ]
    return np.concatenate(found) if found else np.zeros((0, network.last.out_features))


def _weights(classes: NDArray[np.int64], count: int) -> Tensor:
    shares = np.bincount(classes, minlength=count)
    return torch.from_numpy(len(classes) / (count * np.maximum(shares, 1))).float()


class _Order:
    """Batches of rows without end: shuffled anew each time round, or classes in equal shares."""

    def __init__(
        self, rows: NDArray[np.int64], classes: NDArray[np.int64], balanced: bool,
        random: np.random.Generator,
    ) -> None:  # fmt: skip
        self._rows, self._random, self._left = rows, random, rows[:0]
        of = classes[rows]
        self._by_class = [rows[of == label] for label in np.unique(of)] if balanced else None

    def next(self, count: int) -> NDArray[np.int64]:
        if self._by_class is not None:
            drawn = self._random.integers(0, len(self._by_class), count)
            return np.array([self._random.choice(self._by_class[label]) for label in drawn])
        while len(self._left) < count:
            self._left = np.concatenate([self._left, self._random.permutation(self._rows)])
        taken, self._left = self._left[:count], self._left[count:]
        return taken
