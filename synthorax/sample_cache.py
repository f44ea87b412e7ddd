"""Images that were asked for once, on disk, shared by any number of processes.

A row counts as there when its checksum fits: a row that a killed process, or a machine that lost
its power, has half written is asked for again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray


class SampleCache:
    """images.u8 (n, H, W), targets.i4 (n,) and checks.u4 (n,) in a folder of their own."""

    def __init__(self, folder: Path, shape: tuple[int, int, int], about: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._images = _mapped(folder / "images.u8", np.uint8, shape)
        self._targets = _mapped(folder / "targets.i4", np.int32, shape[:1])
        self._checks = _mapped(folder / "checks.u4", np.uint32, shape[:1])
        told = folder / "about.json"
        if not told.exists():
            told.write_text(about)

    def read(
        self, indices: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
        """Images, targets and whether each is there."""
        images, targets = self._images[list(indices)], self._targets[list(indices)]
        checks = self._checks[list(indices)]
        sums = [_sum(image, target) for image, target in zip(images, targets, strict=True)]
        return images, targets.astype(np.int64), checks == np.array(sums, np.uint32)

    def write(
        self, indices: Sequence[int], images: Sequence[NDArray[np.uint8]], targets: Sequence[int]
    ) -> None:
        """Keep rows; the checksum comes last."""
        for index, image, target in zip(indices, images, targets, strict=True):
            self._images[index], self._targets[index] = image, target
            self._checks[index] = _sum(image, target)


def _sum(image: NDArray[np.uint8], target: int) -> int:
    # Begun at 1, so that a row of zeros that nobody wrote does not fit its checksum of zero.
    return crc32(int(target).to_bytes(4, "little", signed=True), crc32(image.tobytes(), 1))


def _mapped(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(number).st_size != size:
            os.ftruncate(number, size)  # sparse; several processes may do it
    finally:
        os.close(number)
    return np.memmap(path, kind, "r+", shape=shape)
