"""What a backend offers, and how one is chosen for a version and a device."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from library.digest import digest_json
from library.errors import Unavailable
from library.versions import Version


class Backend(Protocol):
    """One loaded generator.  Built from a version; `run` is called by one thread only."""

    name: str
    precision: str
    software: dict[str, Any]  # what decides bits, beside the weights

    def run(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        """z (n, latent_dim), label (n,) -> images (n, r, r) in [-1, 1]."""
        ...


def engine_digest(backend: Backend) -> str:
    """Names backend, precision, device class and the software that decides bits."""
    return digest_json([backend.name, backend.precision, backend.software])


def load_backend(version: Version, device: str) -> Backend:
    """Load a version on a device: ONNX Runtime on a CPU, torch on CUDA.

    Raises Unavailable when a GPU is asked for, or present, but cannot be used.
    """
    if device == "cpu" or (device == "auto" and not nvidia_present()):
        from app.engine.onnx import OnnxBackend

        return OnnxBackend(version)
    try:
        from app.engine.torch import TorchBackend
    except ImportError as error:
        raise Unavailable(
            f"A GPU is asked for, but torch cannot be imported ({error}).",
            field="SYNTHORAX_DEVICE",
            value=device,
            remedy="Install torch, or set SYNTHORAX_DEVICE=cpu.",
        ) from None
    return TorchBackend(version, "cuda" if device == "auto" else device)


def nvidia_present() -> bool:
    """An NVIDIA driver is loaded on this machine."""
    return os.path.exists("/proc/driver/nvidia/version")
