"""The one image loader, and the one way from a generator's output to grey levels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Fit = Literal["crop", "pad", "stretch"]

FORMATS = ("PNG", "JPEG")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
PIXELS_MAX = 8192 * 8192  # four times the largest common detector; beyond it: a decompression bomb


class Refused(Exception):
    """This file cannot become a training image; the message says why, without its name."""


def load_grey(path: Path, resolution: int, fit: Fit) -> NDArray[np.uint8]:
    """One file as (resolution, resolution) uint8, 0 black to 255 white.

    Decode, to one channel (16-bit files keep their high byte), then Pillow's antialiased bicubic.
    `crop` keeps the central square, `pad` adds black to the longer side's square, `stretch`
    ignores the aspect ratio.  Raises Refused for a file that is not a whole PNG or JPEG.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > PIXELS_MAX:
                raise Refused(f"{image.width}x{image.height} pixels are more than is allowed")
            grey = _to_grey(image)
    except UnidentifiedImageError:
        raise Refused("not a PNG or JPEG image, whatever its name says") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # The warning comes only where warnings are errors.  It is not made one here: that is a
        # setting of the whole process, and files are decoded by many threads.
        raise Refused("more pixels than is allowed") from None
    except (OSError, ValueError, SyntaxError) as error:
        # Pillow raises SyntaxError and ValueError for damaged PNG chunks.  Its words can hold the
        # file's name, which must not reach logs.
        reason = str(error).split(":")[0].replace(str(path), "").strip() or type(error).__name__
        raise Refused(f"cannot be decoded whole ({reason})") from None
    return np.asarray(_to_square(grey, resolution, fit), np.uint8)


def _to_grey(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode.startswith(("I", "F")):
        high_byte = np.asarray(image, np.int64).clip(0, 65535) >> 8
        return Image.fromarray(high_byte.astype(np.uint8))
    if image.mode in ("LA", "RGBA", "PA", "P"):
        # Colours without their opacity; by way of RGBA, since a palette may hold opacities too.
        image = image.convert("RGBA").convert("RGB")
    return image.convert("L")


def _to_square(grey: Image.Image, resolution: int, fit: Fit) -> Image.Image:
    width, height = grey.size
    box = None
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    elif fit == "pad" and width != height:
        side = max(width, height)
        if side * side > PIXELS_MAX:  # a line of 65,535 pixels would become a square of 4 GB
            raise Refused(f"{width}x{height} pixels are too long to be padded to a square")
        square = Image.new("L", (side, side), 0)
        square.paste(grey, ((side - width) // 2, (side - height) // 2))
        grey = square
    if grey.size == (resolution, resolution):
        return grey
    return grey.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box)


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
