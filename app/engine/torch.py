"""torch on the CPU and on CUDA.  The only file of the app that imports torch and the networks."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from app.engine.processor import cpu_class
from library import cpus
from library.errors import Unavailable
from library.images import to_uint8
from library.versions import Version
from training.networks import Generator, build_generator

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# One thread at a time on a card: a graph is captured while another version is sampled from.
_CARDS: defaultdict[torch.device, threading.Lock] = defaultdict(threading.Lock)


def load_generator(version: Version, device: torch.device, precision: str) -> Generator:
    """The version's generator in evaluation mode, batch norm folded, channels last."""
    generator = build_generator(version.card["architecture"])
    tensors = load_file(version.path / "model.safetensors")
    # Counts of batches are training's alone and are not stored.
    generator.load_state_dict({k: t.float() for k, t in tensors.items()}, strict=False)
    generator.eval().requires_grad_(False)
    for name, layers in list(generator.named_modules()):
        if isinstance(layers, nn.Sequential):
            generator.set_submodule(name, fold(layers))
    generator = generator.to(device, _PRECISIONS[precision])
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return generator


def fold(layers: nn.Sequential) -> nn.Sequential:
    """The same function with each batch norm taken into the transposed convolution before it."""
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and isinstance(folded[-1], nn.ConvTranspose2d):
            folded[-1] = fuse_conv_bn_eval(folded[-1], layer, transpose=True)
        else:
            folded.append(layer)
    return nn.Sequential(*folded)


class TorchBackend:
    """A version's model.safetensors on the CPU: for other precisions, or without a model.onnx."""

    name = "torch"
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16)

    def __init__(self, version: Version, precision: str, threads: int = 0) -> None:
        self.precision = precision
        self.software: dict[str, Any] = {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "device": cpu_class(),
        }
        self._threads = threads or cpus.available()
        self._generator = load_generator(version, torch.device("cpu"), precision)

    def warm(self) -> None:
        """Nothing is prepared for a size."""

    @torch.inference_mode()
    def outputs(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        torch.set_num_threads(self._threads)
        dtype = _PRECISIONS[self.precision]
        images = self._generator(torch.from_numpy(z).to(dtype), torch.from_numpy(label))
        result: NDArray[np.float32] = images[:, 0].float().numpy()
        return result

    def levels(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.uint8]:
        return to_uint8(self.outputs(z, label))


@dataclass
class _Bucket:
    """One captured graph and the memory that it reads and writes; (n, …) of one n."""

    graph: torch.cuda.CUDAGraph
    z: torch.Tensor
    label: torch.Tensor
    images: torch.Tensor  # (n, r, r) float32
    levels: torch.Tensor  # (n, r, r) uint8
    z_pinned: torch.Tensor
    label_pinned: torch.Tensor
    levels_pinned: torch.Tensor


class CudaBackend:
    """A version on an NVIDIA card: one captured graph a batch size, grey levels made there."""

    name = "cuda"
    sizes: tuple[int, ...] = (1, 4, 16, 64, 256)

    def __init__(
        self, version: Version, device: str, precision: str, memory_fraction: float = 1.0
    ) -> None:
        if not torch.cuda.is_available():
            raise Unavailable(
                "There is an NVIDIA driver, or a GPU is asked for, but torch cannot use it.",
                field="SYNTHORAX_DEVICE",
                value=device,
                remedy="Run `synthorax doctor`; or set SYNTHORAX_DEVICE=cpu.",
            )
        self.precision = precision
        self._device = torch.device(device)
        self._latent_dim = version.latent_dim
        if memory_fraction < 1:
            torch.cuda.set_per_process_memory_fraction(memory_fraction, self._device)
        # Bits first: no kernel is chosen by a race, none rounds to TF32.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self.software: dict[str, Any] = {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "numpy": np.__version__,
            "device": torch.cuda.get_device_name(self._device),
        }
        self._generator = load_generator(version, self._device, precision)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._card = _CARDS[self._device]
        self._buckets: dict[int, _Bucket] = {}

    @torch.inference_mode()
    def warm(self) -> None:
        for size in self.sizes:
            if size not in self._buckets:
                self._buckets[size] = self._capture(size)

    def _forward(self, z: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images = self._generator(z.to(_PRECISIONS[self.precision]), label)[:, 0].float()
        # As library.images.to_uint8, and torch rounds half to even as numpy does.
        levels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return images, levels

    def _capture(self, size: int) -> _Bucket:
        z = torch.zeros(size, self._latent_dim, device=self._device)
        label = torch.zeros(size, dtype=torch.int64, device=self._device)
        with self._card:
            # Lazy initialisation (cuDNN's handles, workspaces) must happen before the capture.
            with torch.cuda.stream(self._stream):
                for _ in range(3):
                    self._forward(z, label)
            self._stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            # thread_local: engines of other cards go on meanwhile.
            mode = "thread_local"
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode=mode):
                images, levels = self._forward(z, label)
            self._stream.synchronize()
        return _Bucket(
            graph, z, label, images, levels,
            z_pinned=torch.zeros(z.shape, pin_memory=True),
            label_pinned=torch.zeros(size, dtype=torch.int64, pin_memory=True),
            levels_pinned=torch.zeros(levels.shape, dtype=torch.uint8, pin_memory=True),
        )  # fmt: skip

    @torch.inference_mode()
    def _replay(self, z: NDArray[np.float32], label: NDArray[np.int64], grey: bool) -> _Bucket:
        bucket = self._buckets[len(z)]
        bucket.z_pinned.numpy()[:] = z
        bucket.label_pinned.numpy()[:] = label
        with self._card, torch.cuda.stream(self._stream):
            bucket.z.copy_(bucket.z_pinned, non_blocking=True)
            bucket.label.copy_(bucket.label_pinned, non_blocking=True)
            bucket.graph.replay()
            if grey:
                bucket.levels_pinned.copy_(bucket.levels, non_blocking=True)
            self._stream.synchronize()  # other threads run meanwhile
        return bucket

    def outputs(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        images: NDArray[np.float32] = self._replay(z, label, grey=False).images.cpu().numpy()
        return images

    def levels(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.uint8]:
        # A copy: the next batch writes into the pinned memory.
        return self._replay(z, label, grey=True).levels_pinned.numpy().copy()
