"""A classifier trained through the client's dataset, against the same images on the local disk.

    python -m benchmarks.loader [--images 2000] [--workers 4] [--rounds 5]

A service of its own on the bundled model.  The named rival is a folder of the same images as PNG
files, one sub-folder a class, read as torchvision's ImageFolder reads them (Pillow, then a tensor)
by as many workers.  Below: what `import synthorax` costs beside httpx, which it is made on.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from synthorax import Client
from tests.service.conftest import Service

BATCH = 64
LABELS = ("NORMAL", "PNEUMONIA")


class Folder(Dataset[tuple[torch.Tensor, int]]):
    """PNG files in class folders."""

    def __init__(self, root: Path) -> None:
        self.files = [
            (p, i) for i, name in enumerate(LABELS) for p in sorted((root / name).iterdir())
        ]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, target = self.files[index]
        with Image.open(path) as picture:
            levels = np.array(picture.convert("L"))
        return torch.from_numpy(levels).unsqueeze(0).float().div_(255), target


def classifier() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))


def epoch(dataset: Any, workers: int) -> float:
    """Images a second of one epoch of training, the workers' start included."""
    torch.manual_seed(0)
    network = classifier()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)
    began = time.perf_counter()
    for images, targets in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return len(dataset) / (time.perf_counter() - began)


def importing(statement: str) -> float:
    """Milliseconds of a process that imports, over one that does not."""

    def took(program: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return 1000 * (time.perf_counter() - began)

    return statistics.median(took(statement) - took("pass") for _ in range(7))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)  # the workers have the other cores
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "data").mkdir()
        service = Service(root / "data", root)
        service.start()
        try:
            with Client(service.url) as client:
                counts = dict.fromkeys(LABELS, given.images // len(LABELS))
                plain = client.dataset(counts, seed=0)
                cached = client.dataset(counts, seed=0, cache_dir=root / "cache")
                for place in range(0, len(plain), 500):
                    batch = plain.samples.batch(range(place, min(place + 500, len(plain))))
                    batch.save(root / "disk")
                folder = Folder(root / "disk")
                began = time.perf_counter()
                cached.samples.fetch(range(len(cached)))
                filled = len(cached) / (time.perf_counter() - began)
                rows: dict[str, list[float]] = {"disk": [], "cached": [], "asked": []}
                for _ in range(given.rounds):
                    rows["disk"].append(epoch(folder, given.workers))
                    rows["cached"].append(epoch(cached, given.workers))
                    rows["asked"].append(epoch(plain, given.workers))
        finally:
            service.close()
    medians = {name: statistics.median(found) for name, found in rows.items()}
    print("| training images come from | images/s | of the local disk |\n|---|---|---|")
    for name, words in (
        ("disk", "PNG files on the local disk"),
        ("cached", "the client's dataset, from its cache"),
        ("asked", "the client's dataset, each asked for anew"),
    ):
        print(f"| {words} | {medians[name]:,.0f} | {medians[name] / medians['disk']:.2f} |")
    print(f"\nFilling the cache: {filled:,.0f} images/s.\n")
    print("| import | ms | of httpx |\n|---|---|---|")
    costs = {name: importing(f"import {name}") for name in ("httpx", "synthorax")}
    costs["synthorax, and a Client made"] = importing("from synthorax import Client; Client()")
    for name, cost in costs.items():
        print(f"| {name} | {cost:.0f} | {cost / costs['httpx']:.2f} |")


if __name__ == "__main__":
    main()
