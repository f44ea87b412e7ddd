"""What a seed means: `philox-1`, the latents of a sample as a pure function of its seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from library.philox import word_pairs

SCHEME = "philox-1"
SEED_MAX = 2**53 - 1  # the largest integer that JavaScript keeps exactly
TRUNCATION_MAX = 1.5  # above 1 samples vary more than those trained for (docs/quality.md)
_LATENT_STREAM = 0
_LABEL_STREAM = 1
_REPLACEMENT_STREAM = 2


def latents(
    seeds: Sequence[int] | NDArray[np.uint64],
    dim: int,
    truncation: float | NDArray[np.float32] = 1.0,
) -> NDArray[np.float32]:
    """Standard normal latents, (n, dim) float32, row i a function of seeds[i] alone.

    Philox4x32-10 keyed by the seed; words (a, b) of a block give
    sqrt(-2 ln((a + 1) / 2^32)) * (cos, sin)(2 pi b / 2^32) (Box-Muller) in float64, rounded to
    float32; then scaled by `truncation`, psi in (0, 1.5], one for all or (n,).
    """
    blocks = -(-dim // 4)
    a, b = word_pairs(np.asarray(seeds, np.uint64), _LATENT_STREAM, blocks)
    radius = np.sqrt(-2.0 * np.log((a + 1.0) / 2.0**32))
    angle = b * (2.0 * np.pi / 2.0**32)
    normal = np.empty((a.shape[1], blocks, 2, 2), np.float32)  # (seed, block, pair, cos | sin)
    normal[..., 0] = (radius * np.cos(angle)).transpose(1, 2, 0)
    normal[..., 1] = (radius * np.sin(angle)).transpose(1, 2, 0)
    z: NDArray[np.float32] = normal.reshape(len(normal), 4 * blocks)[:, :dim]
    if isinstance(truncation, np.ndarray):
        return z * truncation[:, None]
    return z if truncation == 1.0 else z * np.float32(truncation)


def drawn_labels(
    seeds: Sequence[int] | NDArray[np.uint64], frequencies: Sequence[float]
) -> NDArray[np.int64]:
    """The class index that a null label stands for, (n,), drawn by the training frequencies.

    The draw has a stream of its own, so naming the label does not change the latents.
    """
    random = word_pairs(np.asarray(seeds, np.uint64), _LABEL_STREAM, 1)[0][0, :, 0]
    edges = np.cumsum(np.asarray(frequencies, np.float64))
    index = np.searchsorted(edges / edges[-1], random / 2.0**32, side="right")
    return np.minimum(index, len(edges) - 1).astype(np.int64)


def between(
    first: int, last: int, steps: int, dim: int, truncation: float = 1.0
) -> NDArray[np.float32]:
    """Latents on the way from one seed's to another's, (steps, dim): its ends are exactly theirs.

    Along the great circle (Shoemake 1985), their lengths mixed evenly: a straight line would pass
    nearer to zero than samples are, and draw the mean image halfway.
    """
    ends = latents([first, last], dim, truncation)
    one, other = ends.astype(np.float64)
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    if not all(lengths):  # a truncation so small that float32 ends at 0: there is no circle
        return np.zeros((steps, dim), np.float32)
    angle = np.arccos(np.clip(one @ other / (lengths[0] * lengths[1]), -1.0, 1.0))
    share = np.linspace(0.0, 1.0, steps)[:, None]
    if np.sin(angle) < 1e-9:
        direction = one / lengths[0] * (1 - share) + other / lengths[1] * share
    else:
        direction = (
            np.sin((1 - share) * angle) * one / lengths[0]
            + np.sin(share * angle) * other / lengths[1]
        ) / np.sin(angle)
    scaled = direction * (lengths[0] * (1 - share) + lengths[1] * share)
    found: NDArray[np.float32] = scaled.astype(np.float32)
    found[0], found[-1] = ends
    return found


def replacement_seed(seed: int, attempt: int) -> int:
    """The seed that stands in for a rejected one: attempt 0 is itself, 1, 2, … are drawn from it.

    Block `attempt` of a stream of its own: 21 bits of its first word above 32 of its second.
    """
    if attempt == 0:
        return seed
    high, low = word_pairs(np.asarray([seed], np.uint64), _REPLACEMENT_STREAM, attempt + 1)
    return (int(high[0, 0, attempt]) & (2**21 - 1)) << 32 | int(low[0, 0, attempt])
