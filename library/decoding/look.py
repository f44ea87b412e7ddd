"""The facts of one picture that a dataset keeps: size, depth, greys, hash, and who and how."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.decoding.identifiers import hashed
from library.images import Fit, Mask, check_fit, to_square
from library.picture import Grey, Picture

THUMBNAIL = 96  # pixels
SIGNATURE = 32  # pixels a side: what near-duplicates are compared by
HASH_SIDE = 16  # the difference hash has 16 x 16 bits
BINS = 32  # of a histogram of grey levels
_SAMPLED = 32_768  # pixels at most that statistics are taken from, on an even grid
_PORTABLE = re.compile(r"\b(port|portable|bedside|mobile)\b", re.IGNORECASE)


def look(
    picture: Picture, salt: bytes, fit: Fit, mask: Mask
) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """Facts of a picture as JSON; its histogram, hash, signature and thumbnail.

    (32 uint16, thousandths; 32 bytes; 32 x 32 bytes; a JPEG.)

    Raises Refused when the picture cannot be brought to a square.
    """
    width, height = picture.size
    check_fit(width, height, fit)
    eight = _reduced(picture.grey)
    small = signature(eight)
    greys, histogram = _greys(eight)
    facts = {
        "kind": picture.kind,
        "depth": picture.depth,
        "width": width,
        "height": height,
        "colour": round(picture.colour, 2),
        "inverted": picture.inverted,
        **greys,
        **_told(picture.attributes, salt),
    }
    shown = thumbnail(eight, fit, mask)
    return facts, (histogram, difference_hash(small), small.tobytes(), shown)


def _reduced(grey: Grey) -> Image.Image:
    """8 bits, and of a large picture means of squares of pixels: enough for all that is small."""
    if not isinstance(grey, Image.Image):
        grey = Image.fromarray((grey >> 8).astype(np.uint8))
    factor = min(grey.size) // (2 * THUMBNAIL)
    return grey.reduce(factor) if factor > 1 else grey


def thumbnail(grey: Image.Image, fit: Fit, mask: Mask) -> bytes:
    """The picture as a generator would see it, as a small JPEG."""
    out = io.BytesIO()
    Image.fromarray(to_square(grey, THUMBNAIL, fit, mask)).save(out, "JPEG", quality=80)
    return out.getvalue()


def signature(grey: Image.Image) -> NDArray[np.uint8]:
    """(32, 32): means of the picture's parts, whatever its size and shape."""
    return np.asarray(grey.resize((SIGNATURE, SIGNATURE), Image.Resampling.BOX), np.uint8)


def difference_hash(small: NDArray[np.uint8]) -> bytes:
    """32 bytes: is each part of a 16 x 17 grid darker than its right neighbour (dHash, 256 bits).

    Brightness and contrast do not change it; size and JPEG hardly do.
    """
    grid = Image.fromarray(small).resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    parts = np.asarray(grid, np.int16)
    return np.packbits(parts[:, :-1] < parts[:, 1:]).tobytes()


def _greys(grey: Image.Image) -> tuple[dict[str, Any], bytes]:
    """Mean, percentiles (0 to 255) and the histogram of an even grid of pixels."""
    step = math.ceil((grey.width * grey.height / _SAMPLED) ** 0.5)
    if step > 1:
        side = (max(1, grey.width // step), max(1, grey.height // step))
        grey = grey.resize(side, Image.Resampling.NEAREST)
    counts = np.array(grey.histogram())
    cumulative = np.cumsum(counts)
    low, median, high = np.searchsorted(cumulative, cumulative[-1] * np.array([0.01, 0.5, 0.99]))
    share = counts / counts.sum()
    found = {
        "mean": round(float(share @ np.arange(256)), 2),
        "low": int(low),
        "median": int(median),
        "high": int(high),
        "black": round(float(share[:2].sum()), 4),
        "white": round(float(share[254:].sum()), 4),
    }
    bins = np.rint(share.reshape(BINS, -1).sum(1) * 1000).astype("<u2")
    return found, bins.tobytes()


def _told(attributes: Mapping[str, str], salt: bytes) -> dict[str, Any]:
    """What is kept of a DICOM's words: identifiers hashed, the rest coarse; all else is dropped."""
    if not attributes:
        return {}

    def hidden(kind: str, name: str) -> str | None:
        return hashed(salt, kind, attributes[name]) if name in attributes else None

    descriptions = " ".join(value for name, value in attributes.items() if "Description" in name)
    device = " ".join(
        attributes.get(name, "") for name in ("Manufacturer", "ManufacturerModelName")
    ).strip()
    covariates = {
        "view": attributes.get("ViewPosition", "").upper()[:16],
        "sex": attributes.get("PatientSex", "").upper()[:1],
        "age": age_band(attributes.get("PatientAge", "")),
        "device": f"device-{hashed(salt, 'device', device)[:6]}" if device else "",
        "year": attributes.get("StudyDate", "")[:4],
    }
    return {
        "patient": hidden("patient", "PatientID"),
        "sop": hidden("sop", "SOPInstanceUID"),
        "accession": hidden("accession", "AccessionNumber"),
        "covariates": {name: value for name, value in covariates.items() if value},
        "intent": attributes.get("PresentationIntentType", "").upper(),
        "portable": bool(_PORTABLE.search(descriptions)),
        "burned_in": attributes.get("BurnedInAnnotation", "").upper() == "YES",
    }


def age_band(text: str) -> str:
    """An age (62, 062Y, 3M) as ten years: 60-69; 90 and above are one band."""
    match = re.fullmatch(r"\s*(\d{1,3})(?:\.\d+)?\s*([YMWD]?)\s*", text.upper())
    if not match:
        return ""
    years = int(match[1]) // {"Y": 1, "": 1, "M": 12, "W": 52, "D": 365}[match[2]]
    decade = years // 10 * 10
    return "90+" if decade >= 90 else f"{decade}-{decade + 9}"
