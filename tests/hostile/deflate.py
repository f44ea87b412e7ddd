"""Deflate streams (RFC 1951), also of far more zeros than should ever stand in memory."""

from __future__ import annotations

import zlib

MIB = 1 << 20
_ADLER_BASE = 65521


def deflated(content: bytes) -> bytes:
    """A raw stream, as members of a ZIP hold it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def deflated_zeros(size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """A raw stream of this many zeros, between other content.

    One MiB is packed, and its blocks repeated: a full flush ends at a byte, and what follows does
    not refer to what was before.
    """
    mib = _flushed(bytes(MIB))
    return b"".join(
        (_flushed(before), mib * (size // MIB), _flushed(bytes(size % MIB)), deflated(after))
    )


def zlib_zeros(size: int) -> bytes:
    """The same as a zlib stream (RFC 1950), as PNG holds it."""
    adler = size % _ADLER_BASE << 16 | 1
    return b"\x78\xda" + deflated_zeros(size) + adler.to_bytes(4, "big")


def crc_of_zeros(size: int) -> int:
    block, crc = bytes(MIB), 0
    for start in range(0, size, MIB):
        crc = zlib.crc32(block[: size - start], crc)
    return crc


def _flushed(content: bytes) -> bytes:
    """Blocks that do not end a stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
