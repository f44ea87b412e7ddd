"""JPEG, WebP, GIF, TIFF and BMP files: cut, lying, looping, or of several pictures."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

SIDE = 64
_LONG, _SHORT = 4, 3  # types of a TIFF's values
_ENTRY = struct.Struct("<HHII")  # tag, type, count, value


def encoded(kind: str, levels: tuple[int, ...] = (0,), side: int = SIDE) -> bytes:
    """A textured picture in a format of Pillow's; one frame for each level added to it."""
    y, x = np.mgrid[:side, :side]
    texture = x * x + 7 * x * y + 3 * y
    frames = [
        Image.fromarray(((texture + level) % 251).astype(np.uint8)).convert("RGB")
        for level in levels
    ]
    out = io.BytesIO()
    if len(frames) == 1:
        frames[0].save(out, kind)
    else:
        frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def cut_jpeg() -> bytes:
    content = encoded("JPEG", side=256)
    return content[: len(content) // 2]


def jpeg_header() -> bytes:
    """All tables and the start of the scan, and no scan."""
    content = encoded("JPEG")
    scan = content.index(b"\xff\xda")
    return content[: scan + 2 + struct.unpack(">H", content[scan + 2 : scan + 4])[0]]


def claiming_jpeg() -> bytes:
    """The frame header claims 65535x65535 pixels, which is the most that a JPEG can."""
    content = bytearray(encoded("JPEG"))
    frame = content.index(b"\xff\xc0")  # marker, length (2), precision (1), height, width
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65535, 65535)
    return bytes(content)


def cut_webp() -> bytes:
    content = encoded("WEBP", side=256)
    return content[: len(content) // 2]


def tiff(pages: int = 1, loop: bool = False, strip: int | None = None, side: int = SIDE) -> bytes:
    """A grey TIFF, uncompressed.

    loop: the last page names itself as the next one; strip: where all pages claim to be stored.
    """
    size, pixels, directory = side * side, 8, 2 + 9 * _ENTRY.size + 4
    first = pixels + pages * size
    parts = [b"II*\0" + struct.pack("<I", first)]
    parts += [bytes((x + y + 50 * page) % 256 for y in range(side) for x in range(side))
              for page in range(pages)]  # fmt: skip
    for page in range(pages):
        start = pixels + page * size if strip is None else strip
        here = first + page * directory
        following = here + directory if page + 1 < pages else here if loop else 0
        parts.append(struct.pack("<H", 9))
        parts += [
            _ENTRY.pack(256, _LONG, 1, side),  # width
            _ENTRY.pack(257, _LONG, 1, side),  # length
            _ENTRY.pack(258, _SHORT, 1, 8),  # bits a sample
            _ENTRY.pack(259, _SHORT, 1, 1),  # no compression
            _ENTRY.pack(262, _SHORT, 1, 1),  # black is zero
            _ENTRY.pack(273, _LONG, 1, start),  # strip offsets
            _ENTRY.pack(277, _SHORT, 1, 1),  # samples a pixel
            _ENTRY.pack(278, _LONG, 1, side),  # rows a strip
            _ENTRY.pack(279, _LONG, 1, size),  # bytes of the strip
        ]
        parts.append(struct.pack("<I", following))
    return b"".join(parts)


def looping_tiff() -> bytes:
    """Two pages, of which the second names itself as the next: pages without end.

    Of one page alone Pillow (rightly) makes a whole picture, since it stops at a page it knows.
    """
    return tiff(pages=2, loop=True)


def strips_outside() -> bytes:
    return tiff(strip=1_000_000_000)


def bmp(width: int, height: int) -> bytes:
    """A grey BMP of 64x64 whose header claims another size."""
    content = bytearray(encoded("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)
