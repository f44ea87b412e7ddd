"""A loaded version that samples: the same pixels for a seed, whatever it is batched with."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.engine.backend import Backend
from app.engine.selfcheck import prove
from library.digest import digest_json
from library.latents import drawn_labels, latents
from library.versions import Version


class Sampler:
    """A version on a backend, with the batch sizes proved to agree on this machine."""

    def __init__(self, version: Version, backend: Backend) -> None:
        backend.warm()
        self.version = version
        self.backend = backend
        self.seconds = _seconds(version, backend)
        self.proof, self.checked = prove(backend, version.latent_dim, len(version.labels))
        self._frequencies = version.label_frequencies
        self.digest = engine_digest(backend, self.proof.sizes[0])

    @property
    def batch_max(self) -> int:
        return self.proof.sizes[-1]

    def classes(self, seeds: Sequence[int], labels: Sequence[int | None]) -> list[int]:
        """Class index of each sample, a null label drawn from its seed; 0 without classes."""
        if not self._frequencies:
            return [0] * len(seeds)
        if None not in labels:
            return list(labels)  # type: ignore[arg-type]  # none is None
        drawn = drawn_labels(seeds, self._frequencies).tolist()
        return [d if label is None else label for d, label in zip(drawn, labels, strict=True)]

    def levels(
        self,
        seeds: Sequence[int],
        classes: Sequence[int],
        truncation: float | NDArray[np.float32] = 1.0,
    ) -> NDArray[np.uint8]:
        """Images (n, r, r) of n seeds, n class indices and truncations, one or (n,)."""
        return self.levels_of(self.latents(seeds, truncation), classes)

    def latents(
        self, seeds: Sequence[int], truncation: float | NDArray[np.float32] = 1.0
    ) -> NDArray[np.float32]:
        """(n, latent_dim)."""
        return latents(seeds, self.version.latent_dim, truncation)

    def levels_of(self, z: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.uint8]:
        """Images (n, r, r) of latents (n, latent_dim) and n class indices."""
        label = np.array(classes, np.int64)
        if len(z) in self.proof.sizes:
            return self.backend.levels(z, label)
        parts = []
        for start, stop, size in chunks(len(z), self.proof.sizes):
            missing = size - (stop - start)
            z_part, label_part = z[start:stop], label[start:stop]
            if missing:
                z_part = np.pad(z_part, ((0, missing), (0, 0)))
                label_part = np.pad(label_part, (0, missing))
            parts.append(self.backend.levels(z_part, label_part)[: stop - start])
        return np.concatenate(parts)


def _seconds(version: Version, backend: Backend) -> float:
    """What one image alone takes: the median of a few, after a first that warms."""
    z, label = latents([0], version.latent_dim), np.zeros(1, np.int64)
    took = []
    for _ in range(4):
        began = time.perf_counter()
        backend.levels(z, label)
        took.append(time.perf_counter() - began)
    return sorted(took[1:])[1]


def engine_digest(backend: Backend, smallest: int) -> str:
    """Names backend, precision, device class and the software that decides bits.

    So does the smallest batch where it is not 1: sizes that differ from batch 1 are other kernels.
    """
    kernels = [] if smallest == 1 else [f"batches from {smallest} on"]
    return digest_json([backend.name, backend.precision, backend.software, *kernels])


def chunks(count: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Cut range(count) into (start, stop, size), largest sizes first.

    Only the last part can be shorter than its size, and only where the smallest size is above 1.
    """
    parts, start = [], 0
    for size in reversed(sizes):
        while count - start >= size:
            parts.append((start, start + size, size))
            start += size
    if start < count:
        parts.append((start, count, sizes[0]))
    return parts
