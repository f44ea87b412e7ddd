"""This service itself, as `python -m app` runs it, on a bundled version or on a free model.

python -m benchmarks.rivals.synthorax_server --port 8000 [--threads 1] [--null]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engine.onnx import OnnxBackend
from app.main import create_app
from app.server import run
from benchmarks.rivals import arguments
from benchmarks.rivals.work import NULL_IMAGES
from library.latents import latents
from library.settings import LOOPBACK, Settings
from library.versions import ModelLibrary, Version


class NullBackend:
    """Pictures that were made at the start, at the price of a copy."""

    name = "null"
    precision = "float32"
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)

    def __init__(self, version: Version) -> None:
        backend = OnnxBackend(version)
        self.software: dict[str, Any] = backend.software
        label = np.arange(NULL_IMAGES, dtype=np.int64) % max(1, len(version.labels))
        self._ready = backend.levels(latents(range(NULL_IMAGES), version.latent_dim), label)

    def warm(self) -> None:
        """Nothing is prepared for a size."""

    def outputs(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.zeros((min(len(z), len(label)), *self._ready.shape[1:]), np.float32)

    def levels(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.uint8]:
        chosen: NDArray[np.uint8] = self._ready[np.arange(min(len(z), len(label)))]
        return chosen


def main() -> int:
    asked = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            port=asked.port,
            data_dir=Path(folder),
            cpu_threads=asked.threads,
            allowed_hosts=tuple(LOOPBACK),
            device="cpu",
            # A model that costs nothing is as one on a card, which has these by default.
            encoder_processes=1 if asked.null else 0,
        )
        library = ModelLibrary(settings.models)
        library.activate(asked.reference)
        load = (lambda version, _: NullBackend(version)) if asked.null else None
        return run(create_app(settings, load), settings)


if __name__ == "__main__":
    sys.exit(main())
