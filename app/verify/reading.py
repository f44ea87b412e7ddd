"""A picture that someone sends: its grey levels, and what it says of itself."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from app.formats import xmp
from app.formats.png import KEYWORD
from library.errors import InvalidValue

SIDE_MAX = 4096  # pixels
_FORMATS = ("PNG", "JPEG", "WEBP")
# What Pillow's decoders raise: it asserts that a palette image has a palette, and looks beyond the
# end of an empty profile.
_DECODERS = (
    OSError, ValueError, SyntaxError, AssertionError, LookupError, TypeError, EOFError, struct.error
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """levels (h, w); facts as the file tells them, unchecked; lossy: decoded from a JPEG."""

    levels: NDArray[np.uint8]
    facts: dict[str, Any] | None
    lossy: bool


def read(content: bytes) -> Picture:
    """A PNG, JPEG, WebP or DICOM file.  Raises InvalidValue for anything else."""
    if content[128:132] == b"DICM":
        return _dicom(content)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if max(image.size) > SIDE_MAX:
                raise refused(f"has {image.width} x {image.height} pixels, more than {SIDE_MAX}")
            image.load()
            # Pillow's name of a JPEG that holds several pictures is MPO.
            return Picture(_grey(image), _facts(image), lossy=image.format in ("JPEG", "MPO"))
    except UnidentifiedImageError:
        raise refused("is no PNG, JPEG, WebP or DICOM file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise refused(f"has more than {SIDE_MAX} x {SIDE_MAX} pixels") from None
    except _DECODERS as error:
        raise refused(f"cannot be decoded whole ({error})") from None


def _dicom(content: bytes) -> Picture:
    from app.formats import dicom

    try:
        return Picture(dicom.pixels(content), dicom.facts(content), lossy=False)
    except ValueError as error:
        raise refused(f"is a DICOM file that we do not make ({error})") from None


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image if image.mode == "L" else image.convert("L"), np.uint8)


def _facts(image: Image.Image) -> dict[str, Any] | None:
    if isinstance(image, PngImagePlugin.PngImageFile):
        try:
            facts = json.loads(image.text.get(KEYWORD, ""))
        except (ValueError, RecursionError):
            return None
        return facts if isinstance(facts, dict) else None
    packet = image.info.get("xmp", b"")
    return xmp.facts(packet) if isinstance(packet, bytes | str) else None


def refused(what: str) -> InvalidValue:
    return InvalidValue(
        f"The image {what}.",
        field="image",
        remedy="Send a file as this service makes it: PNG, JPEG, WebP or DICOM.",
    )
