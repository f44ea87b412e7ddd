"""A loaded version that samples: the same bytes for a seed, whatever it is batched with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.engine.backend import Backend, engine_digest, load_backend
from library.images import to_uint8
from library.latents import drawn_labels, latents
from library.versions import Version

SIZES = (16, 4, 1)  # batch sizes that are used, largest first
PADDED = 8  # the one size that is used where sizes differ
CHECKED_SEEDS = 64


@dataclass(frozen=True)
class Sample:
    """What is asked for: one image."""

    seed: int
    label: int | None  # class index; None: drawn from the seed


class Sampler:
    """A version on a backend, with the batch sizes proved identical on this machine."""

    def __init__(self, version: Version, backend: Backend) -> None:
        self.version = version
        self.backend = backend
        self.sizes = SIZES if sizes_agree(version, backend, SIZES) else ()
        self.batching = "exact" if self.sizes else f"padded to {PADDED}"
        # The batching decides bits where sizes differ, so it is part of the engine's name.
        self.digest = engine_digest(backend) if self.sizes else engine_digest(backend) + "-padded"

    def labels(self, samples: Sequence[Sample]) -> list[int]:
        """Class index of each sample, null labels drawn from their seeds; 0 without classes."""
        if not self.version.labels:
            return [0] * len(samples)
        if all(s.label is not None for s in samples):
            return [s.label for s in samples if s.label is not None]
        drawn = drawn_labels([s.seed for s in samples], self.version.label_frequencies)
        return [int(d) if s.label is None else s.label for s, d in zip(samples, drawn, strict=True)]

    def render(self, samples: Sequence[Sample], truncation: float) -> NDArray[np.uint8]:
        """Images (n, r, r) uint8."""
        z = latents([s.seed for s in samples], self.version.latent_dim, truncation)
        label = np.asarray(self.labels(samples), np.int64)
        parts = [self._run(z[a:b], label[a:b]) for a, b in chunks(len(z), self.sizes or (PADDED,))]
        return to_uint8(np.concatenate(parts))

    def _run(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        missing = 0 if self.sizes else PADDED - len(z)
        if missing == 0:
            return self.backend.run(z, label)
        padded_z = np.pad(z, ((0, missing), (0, 0)))
        return self.backend.run(padded_z, np.pad(label, (0, missing)))[: len(z)]


def load_sampler(version: Version, device: str) -> Sampler:
    """Verify the files, load, and check batch sizes.  Raises Unusable or Unavailable."""
    version.verify()
    return Sampler(version, load_backend(version, device))


def chunks(count: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Cut range(count) into parts of the given sizes, largest first; the last may be shorter
    than the smallest size."""
    parts, start = [], 0
    while start < count:
        left = count - start
        size = next((s for s in sizes if s <= left), min(sizes[-1], left))
        parts.append((start, start + size))
        start += size
    return parts


def sizes_agree(version: Version, backend: Backend, sizes: Sequence[int]) -> bool:
    """Every batch size gives the float32 outputs of batch size 1, on 64 seeds, here and now."""
    z = latents(range(CHECKED_SEEDS), version.latent_dim)
    label = np.arange(CHECKED_SEEDS, dtype=np.int64) % max(1, len(version.labels))

    def outputs(size: int) -> NDArray[np.float32]:
        starts = range(0, CHECKED_SEEDS, size)
        return np.concatenate([backend.run(z[i : i + size], label[i : i + size]) for i in starts])

    single = outputs(1)
    return all(np.array_equal(single, outputs(size)) for size in sizes if size != 1)
