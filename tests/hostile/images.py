"""Files that are no whole image, or far more than one: name -> (bytes, a word of the reason)."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.sets import REAL

Cases = dict[str, tuple[bytes, str]]
UNREAD = "cannot be decoded"
NOT_ONE = "not an image"


def cases() -> Cases:
    """Every bad image, under the name that it has in a dataset."""
    jpeg = sorted((REAL / "NORMAL").iterdir())[0].read_bytes()
    png = encoded("PNG")
    return {
        "cut.jpg": (jpeg[: len(jpeg) // 2], UNREAD),
        "head-only.jpg": (jpeg[:300], UNREAD),
        "claims-65535.jpg": (claiming(jpeg, 65535, 65535), "allowed"),
        "empty.png": (b"", "is empty"),
        "text.png": (b"a report, not a picture", NOT_ONE),
        "page.jpg": (b"<!DOCTYPE html><html></html>", "web page"),
        "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        "letter.jpg": (b"%PDF-1.7\n", "PDF"),
        "array.png": (b"\x93NUMPY\x01\x00", "NumPy"),
        "program.jpeg": (b"\x7fELF" + bytes(100), "program"),
        "archive.png": (nested(), "archive"),
        "moving.gif": (encoded("GIF"), "GIF"),
        "cut.png": (png[: len(png) // 2], UNREAD),
        "crc.png": (wrong_crc(png), UNREAD),
        "no-size.png": (png_of(0, 64, b""), ""),
        "bomb-claimed.png": (png_of(60_000, 60_000, zlib.compress(bytes(64))), "allowed"),
        "bomb-real.png": (png_of(20_000, 20_000, zeros(20_000, 20_000)), "allowed"),
        "hundred-megapixels.png": (png_of(10_000, 10_000, zeros(10_000, 10_000)), "allowed"),
        "short.png": (png_of(64, 64, zlib.compress(bytes(100))), UNREAD),
        "text-bomb.png": (text_bomb(png), UNREAD),
        "animated.png": (frames("PNG"), "3 frames"),
        "animated.webp": (frames("WEBP"), "3 frames"),
        "pages.tif": (frames("TIFF"), "3 frames"),
        "strips-outside.tif": (strips_outside(encoded("TIFF")), UNREAD),
        "negative.bmp": (sized_bmp(-5, 64), ""),
        "huge.bmp": (sized_bmp(60_000, 60_000), "allowed"),
        "cut.webp": (encoded("WEBP")[:60], ""),
        "not-finite.tif": (real_numbers(), "not finite"),
        "below-zero.tif": (signed(), "beyond 16 bits"),
    }


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    levels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(levels).save(out, kind)
    return out.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_of(width: int, height: int, data: bytes, *extra: bytes) -> bytes:
    """A grey PNG of this size, as its header says, with these compressed data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros(width: int, height: int) -> bytes:
    """Rows of zeros, deflated as they are made."""

    def parts() -> Iterator[bytes]:
        packer = zlib.compressobj(9)
        for _ in range(height):
            yield packer.compress(bytes(width + 1))
        yield packer.flush()

    return b"".join(parts())


def text_bomb(png: bytes) -> bytes:
    """A comment of 256 MB, deflated."""
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    bomb = chunk(b"zTXt", b"Comment\0\0" + text)
    return png[:33] + bomb + png[33:]


def wrong_crc(png: bytes) -> bytes:
    at = png.index(b"IDAT") + 20
    return png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :]


def claiming(jpeg: bytes, width: int, height: int) -> bytes:
    at = next(jpeg.index(m) for m in (b"\xff\xc0", b"\xff\xc2") if m in jpeg) + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def frames(kind: str) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("L", (64, 64), level).convert("RGB") for level in (10, 100, 200)]
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:])
    return out.getvalue()


def looping(tiff: bytes) -> bytes:
    """Its directory names itself as the next one."""
    start = struct.unpack("<I", tiff[4:8])[0]
    entries = struct.unpack("<H", tiff[start : start + 2])[0]
    at = start + 2 + 12 * entries
    return tiff[:at] + struct.pack("<I", start) + tiff[at + 4 :]


def strips_outside(tiff: bytes) -> bytes:
    """Its pixels lie beyond its end (tag 273)."""
    start = struct.unpack("<I", tiff[4:8])[0]
    entries = struct.unpack("<H", tiff[start : start + 2])[0]
    changed = bytearray(tiff)
    for i in range(entries):
        at = start + 2 + 12 * i
        if struct.unpack("<H", tiff[at : at + 2])[0] == 273:
            changed[at + 8 : at + 12] = struct.pack("<I", 10**9)
    return bytes(changed)


def sized_bmp(width: int, height: int) -> bytes:
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = struct.pack("<ii", width, height)
    return bytes(bmp)


def nested() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.png", encoded("PNG"))
    return out.getvalue()


def real_numbers() -> bytes:
    out = io.BytesIO()
    levels = np.ones((64, 64), np.float32)
    levels[0, 0] = np.nan
    Image.fromarray(levels).save(out, "TIFF")
    return out.getvalue()


def signed() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((64, 64), -5, np.int32)).save(out, "TIFF")
    return out.getvalue()
