"""The one image loader, and the one way from a generator's output to grey levels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library import dicom, raster
from library.picture import FILE_MAX, PIXELS_MAX, Grey, Picture, Refused, Window

Fit = Literal["crop", "pad", "stretch"]


@dataclass(frozen=True)
class Mask:
    """What is made black, where letters are burnt in: a frame, and squares in the corners.

    border, corner: fractions of the finished picture's side, 0 to 0.25 and 0 to 0.5.
    """

    border: float = 0.0
    corner: float = 0.0

    @property
    def active(self) -> bool:
        return bool(self.border or self.corner)

    def applied(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of levels (r, r) with the masked pixels black."""
        masked = levels.copy()
        side = len(levels)
        frame, corner = round(self.border * side), round(self.corner * side)
        if frame:
            masked[:frame] = masked[-frame:] = 0
            masked[:, :frame] = masked[:, -frame:] = 0
        if corner:
            for rows in (slice(None, corner), slice(side - corner, None)):
                masked[rows, :corner] = masked[rows, side - corner :] = 0
        return masked


UNMASKED = Mask()


def read_picture(path: Path, window: Window = "file") -> Picture:
    """Decode a JPEG, PNG, TIFF, BMP, WebP or DICOM file.

    `window` says which values become black and white where a file holds more than 8 bits: `file`
    (what the file says: its VOI LUT or window; its whole range, where it says nothing) or `range`
    (the 0.5th and 99.5th percentile of each picture).  `stored` is what a program sees that heeds
    nothing that the file says of orientation, window and black: for comparison.  Raises Refused.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(132)
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not size:
        raise Refused("is empty")
    if size > FILE_MAX:
        raise Refused(f"{size} bytes are more than is allowed in one file ({FILE_MAX})")
    if start[128:132] == b"DICM":
        return dicom.read(path, window)
    return raster.read(path, start, window)


def load_grey(
    path: Path, resolution: int, fit: Fit, window: Window = "file", mask: Mask = UNMASKED
) -> NDArray[np.uint8]:
    """One file as (resolution, resolution) uint8, 0 black to 255 white.

    `read_picture`, then `to_square`.  Raises Refused for a file that is no whole image.
    """
    return to_square(read_picture(path, window).grey, resolution, fit, mask)


def check_fit(width: int, height: int, fit: Fit) -> None:
    """Raises Refused where padding a line of 65,535 pixels would make a square of 4 GB."""
    if fit == "pad" and max(width, height) ** 2 > PIXELS_MAX:
        raise Refused(f"{width}x{height} pixels are too long to be padded to a square")


def to_square(grey: Grey, resolution: int, fit: Fit, mask: Mask = UNMASKED) -> NDArray[np.uint8]:
    """A picture as (resolution, resolution) uint8 by Pillow's antialiased bicubic.

    `crop` keeps the central square, `pad` adds black to the longer side's square, `stretch`
    ignores the aspect ratio.  16-bit levels keep their depth until they are rounded at the end.
    """
    deep = not isinstance(grey, Image.Image)
    image = grey if isinstance(grey, Image.Image) else Image.fromarray(grey.astype(np.float32))
    width, height = image.size
    box = None
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    elif fit == "pad" and width != height:
        side = max(width, height)
        check_fit(width, height, fit)
        square = Image.new(image.mode, (side, side), 0)
        square.paste(image, ((side - width) // 2, (side - height) // 2))
        image = square
    if image.size != (resolution, resolution):
        target = (resolution, resolution)
        image = image.resize(target, Image.Resampling.BICUBIC, box=box)
    result: NDArray[np.uint8]
    if deep:
        result = np.rint(np.clip(np.asarray(image) / np.float32(257), 0, 255)).astype(np.uint8)
    else:
        result = np.asarray(image, np.uint8)
    return mask.applied(result) if mask.active else result


def to_uint8(output: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Generator output in [-1, 1] to grey levels: round half to even of 127.5 (y + 1), clipped."""
    rounded = np.rint((output + np.float32(1)) * np.float32(127.5))
    levels: NDArray[np.uint8] = np.clip(rounded, 0, 255).astype(np.uint8)
    return levels


def grid(images: NDArray[np.uint8], columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Images (n, h, w) as one mosaic, row by row, on black."""
    count, height, width = images.shape
    rows = -(-count // columns)
    mosaic = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap), np.uint8)
    for i in range(count):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        mosaic[top : top + height, left : left + width] = images[i]
    return mosaic
