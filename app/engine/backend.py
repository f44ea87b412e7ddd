"""What a backend offers, and how one is chosen for a version and a device."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from library import cpus
from library.errors import Unavailable
from library.settings import Settings
from library.versions import Version


class Backend(Protocol):
    """One generator, loaded on one device when it is built.

    Called by one thread at a time.
    """

    name: str
    precision: str  # float32 | bfloat16 | float16: part of a sample's identity
    software: dict[str, Any]  # what decides bits beside the weights: device class, libraries
    sizes: tuple[int, ...]  # batch sizes worth using, smallest first

    def warm(self) -> None:
        """Get ready for every size (capture graphs), so that no request pays for it."""
        ...

    def outputs(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        """z (n, latent_dim), label (n,) -> images (n, r, r) in [-1, 1], before quantisation."""
        ...

    def levels(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same as grey levels (n, r, r); the caller may keep the array."""
        ...


LoadBackend = Callable[[Version, str], Backend]  # a version on a device


def backend_loader(settings: Settings) -> LoadBackend:
    """How this service loads a version on a device: by SYNTHORAX_BACKEND and SYNTHORAX_PRECISION.

    float32 on a CPU is ONNX Runtime, all else torch.
    """

    def load(version: Version, device: str) -> Backend:
        kind = settings.backend
        if kind == "auto":
            on_cpu = device == "cpu" and settings.precision == "float32"
            kind = "onnxruntime" if on_cpu and _has_onnx(version) else "torch"
        if kind == "onnxruntime":
            from app.engine.onnx import OnnxBackend

            return OnnxBackend(version, settings.cpu_threads)
        try:
            from app.engine.torch import CudaBackend, TorchBackend
        except ImportError as error:
            raise Unavailable(
                f"This device, precision or version needs torch, which cannot be imported "
                f"({error}).",
                field="SYNTHORAX_DEVICE",
                value=device,
                remedy="Install torch; or use SYNTHORAX_DEVICE=cpu with float32 and a version "
                "that has a model.onnx.",
            ) from None
        if device == "cpu":
            return TorchBackend(version, settings.precision, settings.cpu_threads)
        return CudaBackend(version, device, settings.precision, settings.engine_memory_fraction)

    return load


def _has_onnx(version: Version) -> bool:
    return "model.onnx" in version.card["files"]


def devices(settings: Settings) -> tuple[str, ...]:
    """The devices to sample on, one engine each: `auto` is an NVIDIA card where there is one."""
    if settings.device == "auto":
        return ("cuda:0",) if nvidia_present() else ("cpu",)
    names = (name.strip() for name in settings.device.split(","))
    return tuple("cuda:0" if name == "cuda" else name for name in names)


def encoder_processes(settings: Settings, sampled_on: tuple[str, ...]) -> int:
    """How many encode beside the service: a card leaves encoding as the larger share."""
    if settings.encoder_processes >= 0:
        return settings.encoder_processes
    return 0 if sampled_on == ("cpu",) else min(4, max(1, cpus.available() // 2))


def nvidia_present() -> bool:
    """An NVIDIA driver is loaded on this machine."""
    return os.path.exists("/proc/driver/nvidia/version")


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not tell (macOS)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
