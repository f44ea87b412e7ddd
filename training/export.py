"""The generator as files: weights rounded to float16, an ONNX graph of the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from features.sessions import session
from library.errors import SynthoraxError
from library.latents import latents
from training.graph import translate
from training.networks import Generator

OPSET = 17
_CHUNK = 8  # images compared at once: an export must not need more memory than the training
TOLERANCE = 1e-4  # in units of [-1, 1]; a grey level is 7.8e-3


class ExportDiffers(SynthoraxError):
    slug, title = "export-differs", "The exported generator differs from the trained one"


def weigh_labels(generator: Generator, weight: float) -> None:
    """Make a weight of the labels part of the embedding, in place: a version has none beside it."""
    if weight != 1.0 and generator.embedding is not None:
        with torch.no_grad():
            generator.embedding.weight.mul_(weight)


def round_to_half(generator: Generator) -> None:
    """Round weights to float16 values, in place (batch norm's vectors and statistics stay)."""
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(parameter.half().float())


def stored_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a published file: float16 weights, float32 vectors (batch norm's)."""
    return {
        name: (tensor.half() if tensor.ndim >= 2 else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def to_onnx(generator: Generator) -> onnx.ModelProto:
    """Graph z (n, latent_dim) float32, label (n,) int64 -> images (n, 1, r, r) float32."""
    return translate(generator, OPSET)


@torch.no_grad()
def check(generator: Generator, path: Path, count: int = 64) -> float:
    """Largest difference between ONNX Runtime and torch on the CPU over `count` seeds.

    Raises ExportDiffers above TOLERANCE.
    """
    runtime = session(path)
    z = latents(range(count), generator.latent_dim)
    label = np.arange(count, dtype=np.int64) % max(1, generator.classes)
    generator = generator.cpu().float().eval()
    difference = 0.0
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        feed = {"z": z[part], "label": label[part]} if generator.classes else {"z": z[part]}
        on_runtime = runtime.run(["images"], feed)[0]
        on_torch = generator(torch.from_numpy(z[part]), torch.from_numpy(label[part])).numpy()
        # numpy's maximum: what is no number must not be passed over.
        difference = float(np.maximum(difference, np.abs(on_runtime - on_torch).max()))
    if not difference <= TOLERANCE:
        raise ExportDiffers(
            f"ONNX Runtime and torch differ by {difference:.2e}, more than {TOLERANCE:g}.",
            remedy="The training may have diverged; look at the samples of its last epochs.",
        )
    return difference
