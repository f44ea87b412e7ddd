"""Mutations that keep the checksums of PNG, so that what lies behind them is reached."""

from __future__ import annotations

import struct
import zlib

import atheris

_PNG = b"\x89PNG\r\n\x1a\n"


def mutated(content: bytes, most: int, seed: int) -> bytes:
    """libFuzzer's own mutation; of three, two are mended afterwards."""
    made: bytes = atheris.Mutate(content, most)
    return mended(made)[:most] if seed % 3 else made


def mended(content: bytes) -> bytes:
    """The same with the CRC of each whole PNG chunk right."""
    if not content.startswith(_PNG):
        return content
    out, at = bytearray(content), len(_PNG)
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)
