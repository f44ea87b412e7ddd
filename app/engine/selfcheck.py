"""The proof, on this machine and now, that a sample does not depend on its batch.

Libraries choose kernels by the batch's size, so the float32 outputs of a seed can differ between
sizes in their last bits, and a grey level with them.  Every size that a backend offers is compared
with batch 1 on 64 seeds; only sizes that agree are used together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.engine.backend import Backend
from library.errors import SynthoraxError
from library.latents import latents

SEEDS = 64


class NotReproducible(SynthoraxError):
    slug, title = "not-reproducible", "This engine does not give the same bits twice"


@dataclass(frozen=True)
class Proof:
    """Which batch sizes gave the same bits, and how the rest are avoided."""

    seeds: int
    tried: tuple[int, ...]
    sizes: tuple[int, ...]  # used: they agree with each other, smallest first

    @property
    def exact(self) -> bool:
        """All sizes agree with batch 1."""
        return self.sizes == self.tried

    @property
    def told(self) -> str:
        used = ", ".join(map(str, self.sizes))
        if self.sizes[0] == 1:
            return f"batches of {used} agree with batch 1 on {self.seeds} seeds"
        return f"every batch is padded to one of {used}: batch 1 differs on this machine"


def prove(
    backend: Backend, latent_dim: int, classes: int, sizes: tuple[int, ...] | None = None
) -> tuple[Proof, NDArray[np.float32]]:
    """Run every size on 64 seeds; returns the proof, and the outputs that the used sizes agree on.

    Larger sizes take the seeds in other orders, so that place and neighbours are checked too.
    Raises NotReproducible when not even one size repeats its own bits.
    """
    tried = sizes or backend.sizes
    count = max(SEEDS, max(tried))
    z = latents(range(count), latent_dim)
    label = np.arange(count, dtype=np.int64) % max(1, classes)
    by_size = {size: _outputs(backend, z, label, size, order=size) for size in tried}
    reference = by_size[tried[0]]
    if all(np.array_equal(reference, outputs) for outputs in by_size.values()):
        return Proof(count, tried, tried), reference
    # Sizes that give the same bits as each other.
    groups: list[list[int]] = []
    for size in tried:
        for group in groups:
            if np.array_equal(by_size[group[0]], by_size[size]):
                group.append(size)
                break
        else:
            groups.append([size])

    # The group of the largest size is the fastest, but for the batch of one that it pads: batch 1's
    # own group is better where it reaches a quarter of that size.
    def worth(group: list[int]) -> tuple[bool, int]:
        return group[0] == tried[0] and 4 * group[-1] >= tried[-1], group[-1]

    for group in sorted(groups, key=worth, reverse=True):
        # Alone in a group, a size must at least not depend on place and neighbours.
        again = _outputs(backend, z, label, group[-1], order=1)
        if np.array_equal(by_size[group[-1]], again):
            return Proof(count, tried, tuple(group)), by_size[group[-1]]
    raise NotReproducible(
        f"No batch size of {tried} gives the same bits twice.",
        field="SYNTHORAX_DEVICE",
        remedy="Use another device or SYNTHORAX_PRECISION=float32, and report this.",
    )


def _outputs(
    backend: Backend, z: NDArray[np.float32], label: NDArray[np.int64], size: int, order: int
) -> NDArray[np.float32]:
    """Outputs (count, r, r) by batches of one size, the seeds taken in an order of its own."""
    count = len(z)
    indices = np.random.default_rng(order).permutation(count) if order > 1 else np.arange(count)
    padded = np.resize(indices, -(-count // size) * size)  # a last batch is filled with the first
    result: NDArray[np.float32] | None = None
    for start in range(0, count, size):
        chosen = padded[start : start + size]
        images = backend.outputs(z[chosen], label[chosen])
        if result is None:
            result = np.empty((count, *images.shape[1:]), np.float32)
        result[chosen] = images
    assert result is not None
    return result
