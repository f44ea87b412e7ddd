"""JPEG, PNG, TIFF, BMP and WebP files through Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from library.picture import Picture, Refused, Window, check_size, stretch, to_levels

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
_WHITE_IS_ZERO = 0
_PHOTOMETRIC, _BITS_PER_SAMPLE = 262, 258  # tags of a TIFF

# How other files begin: a reason that says what a file is helps more than what it is not.
_OTHERS = (
    (b"PK\x03\x04", "an archive inside the dataset: unpack it first"),
    (b"PK\x05\x06", "an archive inside the dataset: unpack it first"),
    (b"\x1f\x8b", "an archive inside the dataset: unpack it first"),
    (b"Rar!", "an archive inside the dataset: unpack it first"),
    (b"7z\xbc\xaf", "an archive inside the dataset: unpack it first"),
    (b"GIF8", "a GIF, which is not read: convert it to PNG"),
    (b"%PDF", "a PDF, not an image"),
    (b"\x93NUMPY", "a NumPy array, not an image"),
    (b"\x7fELF", "a program, not an image"),
    (b"MZ", "a program, not an image"),
    (b"<svg", "an SVG drawing, not an image of pixels"),
    (b"<?xml", "XML text, not an image of pixels"),
    (b"<!DOC", "a web page, not an image"),
    (b"<html", "a web page, not an image"),
)


def read(path: Path, start: bytes, window: Window) -> Picture:
    """Decode a file whose first bytes are `start`.  Raises Refused."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_size(*image.size)
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":  # a camera's JPEG with its own thumbnail
                raise Refused(f"holds {frames} frames; one image a file is read")
            return _picture(image, window)
    except UnidentifiedImageError:
        raise Refused(_what_it_is(start)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # The warning comes only where warnings are errors.  It is not made one here: that is a
        # setting of the whole process, and files are decoded by many threads.
        raise Refused("more pixels than is allowed") from None
    except (Refused, MemoryError, RecursionError):
        raise
    except Exception as error:
        # Damage shows as OSError, SyntaxError, ValueError, struct.error, KeyError, TypeError, …
        # Its words can hold the file's name, which must not reach logs.
        reason = str(error).split(":")[0].replace(str(path), "").strip() or type(error).__name__
        raise Refused(f"cannot be decoded whole ({reason[:200]})") from None


def _what_it_is(start: bytes) -> str:
    for magic, kind in _OTHERS:
        if start.lstrip()[:8].lower().startswith(magic.lower()):
            return f"is {kind}"
    return (
        "is not an image of a kind that is read (JPEG, PNG, TIFF, BMP, WebP, DICOM), or its header "
        "is damaged"
    )


def _picture(image: Image.Image, window: Window) -> Picture:
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    depth = _depth(image)
    image.load()
    stored = window == "stored"
    inverted = kind == "TIFF" and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO and not stored
    if not stored:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(("I", "F")):
        return Picture(_deep(image, window, inverted, depth), kind, depth, inverted=inverted)
    if image.mode in ("LA", "RGBA", "PA", "P"):
        # Colours without their opacity; by way of RGBA, since a palette may hold opacities too.
        image = image.convert("RGBA").convert("RGB")
    grey = image if image.mode == "L" else image.convert("L")
    return Picture(grey, kind, depth, _colour(image))


def _deep(image: Image.Image, window: Window, inverted: bool, depth: int) -> NDArray[np.uint16]:
    """A picture of more than 8 bits; one of real numbers has no range of its own."""
    values = np.asarray(image)
    if image.mode.startswith("F"):
        if not np.isfinite(values).all():
            raise Refused("holds numbers that are not finite")
        values = -values if inverted else values
        low, high = float(values.min()), float(values.max())
        return stretch(values) if window == "range" else to_levels(values, low, high)
    whole = values.astype(np.int64)
    if whole.min() < 0 or whole.max() > 65535:
        raise Refused("holds values beyond 16 bits without a sign")
    if depth < 16:  # a TIFF of 12 bits
        whole = to_levels(whole, 0, 2**depth - 1).astype(np.int64)
    levels = (65535 - whole if inverted else whole).astype(np.uint16)
    return stretch(levels) if window == "range" else levels


def _depth(image: Image.Image) -> int:
    if image.mode.startswith(("I", "F")):
        return (_tag(image, _BITS_PER_SAMPLE) if image.format == "TIFF" else None) or 16
    return 1 if image.mode == "1" else 8


def _tag(image: Image.Image, tag: int) -> int | None:
    value: Any = getattr(image, "tag_v2", {}).get(tag)
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int) else None


def _colour(image: Image.Image) -> float:
    """How far the channels are apart, in levels, on a sparse grid of pixels."""
    if image.mode not in ("RGB", "YCbCr", "CMYK", "LAB", "HSV"):
        return 0.0
    small = image.resize((32, 32), Image.Resampling.NEAREST).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(small), 2, 0).astype(np.int16)
    most = np.maximum(np.maximum(red, green), blue)
    return float((most - np.minimum(np.minimum(red, green), blue)).mean())
