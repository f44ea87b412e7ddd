"""One file as one picture in grey: what every reader of image files gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[np.uint8] | NDArray[np.uint16]
# An image where Pillow goes on with it: arrays are copies.
Grey = Image.Image | NDArray[np.uint16]
Window = Literal["file", "range", "stored"]

PIXELS_MAX = 8192 * 8192  # four times the largest common detector; beyond it: a decompression bomb
FILE_MAX = 512 * 2**20  # bytes of one file: the largest detector in 16 bits is a quarter of it


class Refused(Exception):
    """This file cannot become a training image; the message says why, without its name."""


@dataclass(frozen=True)
class Picture:
    """grey: a Pillow image of mode L, or deeper levels (h, w); 0 black, the most of its type white.

    depth: bits a sample in the file; colour: mean difference of channels, in levels of 255;
    inverted: low values are white in the file (they are black here);
    attributes: what a DICOM says of itself, raw (a patient's id among it), by pydicom's keywords.
    """

    grey: Grey
    kind: str
    depth: int
    colour: float = 0.0
    inverted: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def levels(self) -> Levels:
        """(h, w), at all the depth that the file has."""
        return np.asarray(self.grey, np.uint8) if isinstance(self.grey, Image.Image) else self.grey

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        if isinstance(self.grey, Image.Image):
            return self.grey.size
        return self.grey.shape[1], self.grey.shape[0]


def check_size(width: int, height: int) -> None:
    """Raises Refused for a picture that is too large, or none."""
    if width < 1 or height < 1:
        raise Refused(f"{width}x{height} pixels are no picture")
    if width * height > PIXELS_MAX:
        raise Refused(
            f"{width}x{height} pixels are more than is allowed ({PIXELS_MAX // 2**20} megapixels)"
        )


def stretch(
    values: NDArray[np.generic], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.uint16]:
    """Values to 16-bit levels: the 0.5th percentile black, the 99.5th white; padding is black."""
    known = values if valid is None else values[valid]
    if not known.size:
        return np.zeros(values.shape, np.uint16)
    low, high = np.percentile(known.astype(np.float64).ravel(), (0.5, 99.5))
    if low == high:
        low, high = float(known.min()), float(known.max())
    return to_levels(values, float(low), float(high), valid)


def to_levels(
    values: NDArray[np.generic],
    low: float,
    high: float,
    valid: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint16]:
    """Values to 16-bit levels: low and below are 0, high and above 65,535; padding is 0."""
    span = high - low
    scaled = (values.astype(np.float64) - low) / span if span > 0 else np.zeros(values.shape)
    return from_unit(scaled, valid)


def from_unit(
    scaled: NDArray[np.float64], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.uint16]:
    """Numbers in [0, 1] (clipped) to 16-bit levels; padding is 0."""
    levels = np.rint(np.clip(scaled, 0, 1) * 65535).astype(np.uint16)
    if valid is not None:
        levels[~valid] = 0
    return levels
