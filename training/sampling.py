"""Grey levels from a generator under torch: epoch grids, published grids, `sample`."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from library.images import grid, to_uint8
from library.latents import drawn_labels, latents
from library.versions import Version, label_index
from training.networks import Generator, build_generator

_CHUNK = 16


@torch.no_grad()
def sample(
    generator: Generator, seeds: Sequence[int], labels: Sequence[int], truncation: float = 1.0
) -> NDArray[np.uint8]:
    """Images (n, r, r) uint8 of seeds and class indices, in float32 and evaluation mode."""
    device = next(generator.parameters()).device
    z = torch.from_numpy(latents(list(seeds), generator.latent_dim, truncation)).to(device)
    classes = torch.as_tensor(list(labels), dtype=torch.int64, device=device)
    was_training = generator.training
    generator.eval()
    parts = [
        generator(z[i : i + _CHUNK], classes[i : i + _CHUNK])[:, 0].float().cpu().numpy()
        for i in range(0, len(z), _CHUNK)
    ]
    generator.train(was_training)
    return to_uint8(np.concatenate(parts))


def fixed_samples(generator: Generator, side: int = 8) -> tuple[NDArray[np.uint8], list[int]]:
    """Samples and class indices of seeds 0 … side^2 - 1; classes take turns by row of the grid."""
    count = side * side
    labels = [i // side % max(1, generator.classes) for i in range(count)]
    return sample(generator, range(count), labels), labels


def fixed_grid(generator: Generator, side: int = 8) -> bytes:
    """PNG of the fixed samples: the same latents at every epoch."""
    return png(grid(fixed_samples(generator, side)[0], side))


def png(levels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def at_once(resolution: int) -> int:
    """Images of one chunk: fewer large ones, since publishing must not need more memory than the
    training did."""
    return min(128, max(16, 128 * 128**2 // resolution**2))


@torch.no_grad()
def estimate_statistics(generator: Generator, count: int = 1024, chunk: int = 0) -> None:
    """Set batch norm's statistics to means over `count` latents (seeds 0 …), in place.

    Training leaves moving averages that lag behind the weights; sampling uses the statistics,
    never those of a batch, so that an image does not depend on its neighbours.
    """
    chunk = chunk or at_once(generator.resolution)
    device = next(generator.parameters()).device
    norms = [m for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean over the chunks
    generator.train()
    z = torch.from_numpy(latents(range(count), generator.latent_dim)).to(device)
    classes = torch.arange(count, device=device) % max(1, generator.classes)
    for start in range(0, count, chunk):
        generator(z[start : start + chunk], classes[start : start + chunk])
    generator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def load_version(version: Version) -> Generator:
    """The generator of a published version, in evaluation mode on the CPU."""
    generator = build_generator(version.card["architecture"])
    tensors = {k: t.float() for k, t in load_file(version.path / "model.safetensors").items()}
    generator.load_state_dict(tensors, strict=False)  # counts of batches are not stored
    return generator.eval()


def sample_version(
    version: Version, label: str | None, seed: int, count: int, truncation: float
) -> NDArray[np.uint8]:
    """Images (count, r, r) uint8 of a version: samples seed … seed + count - 1."""
    seeds = range(seed, seed + count)
    index = label_index(version, label)
    if index is not None:
        classes = [index] * count
    elif version.labels:
        classes = drawn_labels(seeds, version.label_frequencies).tolist()
    else:
        classes = [0] * count
    return sample(load_version(version), seeds, classes, truncation)
