"""The work of a request, the same for every server: seeds in, PNGs with their provenance out.

This is the one file here that names the service's own modules.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.engine.onnx import OnnxBackend
from app.engine.sampler import Sampler
from app.formats import png
from library.identity import Identity, Origin
from library.latents import latents
from library.versions import ModelLibrary, Version

NULL_IMAGES = 64


class Work:
    """A version, loaded; `pngs` may be called by several threads, as ONNX Runtime may."""

    def __init__(self, version: Version, threads: int, null: bool) -> None:
        backend = OnnxBackend(version, threads)
        self._sampler = Sampler(version, backend)
        self._origin = Origin(
            model=version.reference,
            version_digest=version.digest,
            engine_digest=self._sampler.digest,
            backend=backend.name,
            precision=backend.precision,
            truncation=1.0,
        )
        self._ready: NDArray[np.uint8] | None = None
        if null:
            seeds = list(range(NULL_IMAGES))
            self._ready = self._sampler.levels(seeds, self._classes(seeds))

    def pngs(self, seeds: list[int]) -> list[bytes]:
        """One PNG for each seed, from one batch."""
        version, classes = self._sampler.version, self._classes(seeds)
        if self._ready is None:
            levels = self._sampler.levels(seeds, classes)
        else:
            latents(seeds, version.latent_dim)
            levels = self._ready[[seed % NULL_IMAGES for seed in seeds]]
        names = [version.labels[i] if version.labels else None for i in classes]
        identities = [
            Identity(self._origin, name, seed) for name, seed in zip(names, seeds, strict=True)
        ]
        return png.encode(levels, identities)

    def _classes(self, seeds: list[int]) -> list[int]:
        return self._sampler.classes(seeds, [None] * len(seeds))


def load(reference: str, threads: int, null: bool) -> Work:
    """A bundled version on ONNX Runtime, a batch shared out among so many threads.

    With `null` the generator is not run: a seed's picture is one of 64 that were made here, so
    that latents, PNG and HTTP remain, as beside an accelerator that costs the CPU nothing.
    """
    version = ModelLibrary(Path("/nonexistent")).find(reference)
    return Work(version, threads, null)
