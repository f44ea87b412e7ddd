"""JPEG and WebP through Pillow, each with the XMP packet of its sample."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.formats import xmp
from library.identity import Identity

JPEG_QUALITY = 95
WEBP_EFFORT = {"method": 1, "quality": 0}  # the fastest that is smaller than our PNG


def encode_jpeg(levels: NDArray[np.uint8], identities: Sequence[Identity]) -> list[bytes]:
    """Grey images (n, h, w) as 8-bit grey JPEGs: lossy, a few grey levels off at most.

    Raises ValueError unless there is one identity an image, and for a side over 65,500.
    """
    return _encode(levels, identities, format="JPEG", quality=JPEG_QUALITY)


def encode_webp(levels: NDArray[np.uint8], identities: Sequence[Identity]) -> list[bytes]:
    """Grey images (n, h, w) as lossless WebP, which has no grey: R = G = B = the level.

    Raises ValueError unless there is one identity an image, and for a side over 16,383.
    """
    return _encode(levels, identities, format="WEBP", lossless=True, **WEBP_EFFORT)


def _encode(
    levels: NDArray[np.uint8], identities: Sequence[Identity], **options: Any
) -> list[bytes]:
    assert levels.dtype == np.uint8
    assert levels.ndim == 3
    contents = []
    for image, identity in zip(levels, identities, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, xmp=xmp.packet(identity.facts()).encode(), **options)
        contents.append(file.getvalue())
    return contents
