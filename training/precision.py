"""Which arithmetic is fastest here: measured at the start of a run, kept for its resumes."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from library.config import RunConfig
from library.errors import Unavailable

_WARM_UP, _TIMED = 2, 4  # steps a candidate
_HOPELESS = 4  # a candidate so many times slower than the best is not measured further
_WORTH = 10  # a run on a CPU has so many times the steps of all candidates, or nothing is measured


@dataclass(frozen=True)
class Arithmetic:
    """How a step is computed: precision of the autocast, and the layout of the activations."""

    precision: str  # "float32" | "bfloat16"
    channels_last: bool

    @property
    def layout(self) -> str:
        return "channels_last" if self.channels_last else "contiguous"

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self, device: torch.device, enabled: bool = True) -> torch.autocast:
        enabled = enabled and self.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled, cache_enabled=enabled)


CANDIDATES = (
    Arithmetic("float32", False),
    Arithmetic("float32", True),
    Arithmetic("bfloat16", True),
)


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device.

    Raises Unavailable when an NVIDIA card is present (or asked for) but torch cannot use it: a
    run on the CPU by surprise would take days.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda" if wanted == "auto" else wanted)
    if wanted != "auto" or os.path.exists("/proc/driver/nvidia/version"):
        raise Unavailable(
            "There is an NVIDIA driver but torch cannot use a GPU."
            if wanted == "auto"
            else f"The device {wanted!r} is asked for but torch cannot use a GPU.",
            field="SYNTHORAX_TRAIN_DEVICE",
            value=wanted,
            remedy="Run `synthorax doctor`; or set SYNTHORAX_TRAIN_DEVICE=cpu to train on the CPU.",
        )
    return torch.device("cpu")


def prepare(device: torch.device, threads: int, deterministic: bool = False) -> None:
    """Make torch repeat itself on this device with this number of CPU threads.

    deterministic: on CUDA also where torch's fast kernels add in no fixed order.
    """
    if deterministic and device.type == "cuda":
        # Read by cuBLAS when it starts, so before the first product on the card.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    else:
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc to keep freed activations for the next step instead of returning them.

    Each step allocates the same tens of megabytes; faulting their pages in again costs about a
    tenth of a step.  Other C libraries lack mallopt and keep their own ways.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def fastest(
    config: RunConfig,
    device: torch.device,
    steps: Callable[[Arithmetic], Callable[[], None]],
    planned: int,
) -> tuple[Arithmetic, dict[str, float]]:
    """The fastest candidate, and images per second of each.

    A precision that the configuration names is taken without measuring, in channels_last, so that
    two runs of one configuration agree in their bits; `auto` depends on what is measured.
    `steps(arithmetic)` returns a function that trains throw-away networks by one step.
    planned: steps of the whole run; a short one on a CPU is float32, since measuring would take
    longer than it could gain.
    """
    if config.privacy.active:  # lengths are clipped in float32, and opacus unfolds its own way
        return Arithmetic("float32", False), {}
    if config.precision != "auto":
        return Arithmetic(config.precision, True), {}
    if device.type == "cpu" and planned < _WORTH * len(CANDIDATES) * (_WARM_UP + _TIMED):
        return Arithmetic("float32", True), {}
    allowed = list(CANDIDATES)
    if device.type == "cpu" and _emulates_bfloat16():
        allowed = [c for c in allowed if c.precision != "bfloat16"]
    speeds: dict[str, float] = {}
    for candidate in allowed:
        step = steps(candidate)
        seconds: list[float] = []
        for _ in range(_WARM_UP + _TIMED):
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
            if speeds and config.batch_size / seconds[-1] < max(speeds.values()) / _HOPELESS:
                break
        best = min(seconds[_WARM_UP:] or seconds)  # the least disturbed of the timed steps
        speeds[f"{candidate.precision} {candidate.layout}"] = round(config.batch_size / best, 1)
    ranked = sorted(zip(speeds.values(), allowed, strict=True), key=lambda pair: -pair[0])
    return ranked[0][1], speeds


def _emulates_bfloat16() -> bool:
    """An x86 without AVX-512 computes bfloat16 in software, some twenty times slower."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def environment(
    device: torch.device, threads: int, arithmetic: Arithmetic, speeds: dict[str, float]
) -> dict[str, Any]:
    """What decides the bits of a run beside its configuration and data."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": device.type,
        "device_name": name,
        "threads": threads,
        **asdict(arithmetic),
        "probe_images_per_second": speeds,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
