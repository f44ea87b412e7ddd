"""The one file format of a reader study: every image of a study has as many bytes as any other.

A PNG that is compressed tells by its size how well its pixels compress, and what a generator draws
compresses otherwise than what a detector measures.  So nothing is compressed (deflate's stored
blocks, no filter), and there is no chunk but the three that a PNG must have.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_BLOCK = 0xFFFF  # bytes of a stored block, at most
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode(levels: NDArray[np.uint8]) -> bytes:
    """Grey levels (h, w) as a PNG of 8 bits; its length is a function of the shape alone."""
    height, width = levels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # filter 0 before each row
    rows[:, 1:] = levels
    content = rows.tobytes()
    parts = [b"\x78\x01"]
    for start in range(0, len(content), _BLOCK):
        block = content[start : start + _BLOCK]
        last = start + _BLOCK >= len(content)
        parts.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    parts.append(struct.pack(">I", zlib.adler32(content)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", b"".join(parts)), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(chunks)


@lru_cache(maxsize=16)
def length(side: int) -> int:
    """Bytes of a square image's file."""
    return len(encode(np.zeros((side, side), np.uint8)))


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
