"""PNG files chunk by chunk: whole, damaged, and far larger unpacked than packed."""

from __future__ import annotations

import struct
import zlib

from tests.hostile.deflate import MIB, zlib_zeros

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDE = 64


def whole(side: int = SIDE) -> bytes:
    """A good grey PNG with a texture, so that its data do not pack to a few bytes."""
    rows = (bytes([0, *((x * x + 7 * x * y + 3 * y) % 251 for x in range(side))])
            for y in range(side))  # fmt: skip
    return png(side, side, zlib.compress(b"".join(rows), 9))


def png(width: int, height: int, packed: bytes, before_data: bytes = b"") -> bytes:
    """An 8-bit grey PNG whose header claims this size, whatever its data hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (SIGNATURE, chunk(b"IHDR", header), before_data, chunk(b"IDAT", packed), chunk(b"IEND"))
    )


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return b"".join(
        (struct.pack(">I", len(content)), kind, content,
         struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
    )  # fmt: skip


def damaged() -> bytes:
    """A bit of the data is wrong, and so their CRC and the zlib stream's sum."""
    content = bytearray(whole())
    content[content.index(b"IDAT") + 4 + 1000] ^= 1
    return bytes(content)


def wrong_crc_alone() -> bytes:
    """The CRC of whole data is wrong; Pillow looks at it in Image.verify alone."""
    content = bytearray(whole())
    length = struct.unpack(">I", content[33:37])[0]  # IDAT follows the 33 bytes up to IHDR's CRC
    content[33 + 8 + length] ^= 0xFF
    return bytes(content)


def cut_in_data() -> bytes:
    content = whole()
    return content[: content.index(b"IDAT") + 4 + 500]


def too_few_rows() -> bytes:
    """Every chunk is whole, but the data end after two rows; Pillow leaves the others black."""
    return png(SIDE, SIDE, zlib.compress(bytes(2 * (SIDE + 1))))


def part_of_a_row() -> bytes:
    """Every chunk is whole, but the data end within the second row."""
    return png(SIDE, SIDE, zlib.compress(bytes(100)))


def claimed_bomb() -> bytes:
    """The header claims 3,600 megapixels; there are 64 bytes."""
    return png(60_000, 60_000, zlib.compress(bytes(64)))


def real_bomb() -> bytes:
    """400 megapixels that are really there."""
    side = 20_000
    return png(side, side, zlib_zeros(side * (side + 1)))  # a filter byte a row


def zero_width() -> bytes:
    return png(0, SIDE, zlib.compress(bytes(SIDE)))


def text_bomb() -> bytes:
    """A comment (zTXt) that unpacks to 256 MiB, before whole pixels."""
    return _with_chunk(b"zTXt", b"Comment\0\0" + zlib_zeros(256 * MIB))


def profile_bomb() -> bytes:
    """A colour profile (iCCP) that unpacks to 256 MiB, before whole pixels."""
    return _with_chunk(b"iCCP", b"profile\0\0" + zlib_zeros(256 * MIB))


def _with_chunk(kind: bytes, content: bytes) -> bytes:
    good = whole()
    return good[:33] + chunk(kind, content) + good[33:]
