"""Randomness of training as a function of (run seed, purpose, counter), never of process state."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from library.digest import digest_json

if TYPE_CHECKING:  # the figures of a run are drawn where there is no torch
    from torch import Tensor


class Stream(IntEnum):
    """What the randomness is for; streams never share numbers."""

    INITIALISATION = 0
    ORDER = 1
    NOISE = 2
    AUGMENTATION = 4
    GRID = 5
    DIFFAUGMENT = 6


def generator(run_seed: int, stream: Stream, counter: int = 0) -> np.random.Generator:
    """numpy's Philox keyed by the run seed, at a place of its own for (stream, counter)."""
    return np.random.Generator(
        np.random.Philox(key=[run_seed, int(stream)], counter=[0, 0, 0, counter])
    )


def seed_torch(run_seed: int) -> None:
    """Seed torch's global generator, used by the initialisation alone."""
    import torch

    torch.manual_seed(int(digest_json([run_seed, int(Stream.INITIALISATION)])[:12], 16))


def epoch_order(
    run_seed: int, epoch: int, images: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The order of the data in an epoch (from 0): a permutation of range(images)."""
    return generator(run_seed, Stream.ORDER, epoch).permutation(images)


def step_noise(run_seed: int, step: int, count: int, dim: int) -> Tensor:
    """z ~ N(0, I) of a step: (count, dim) float32 on the CPU."""
    import torch

    normal = generator(run_seed, Stream.NOISE, step).standard_normal((count, dim), np.float32)
    return torch.from_numpy(normal)
