"""8-bit grey PNG with its provenance inside: what made this image, machine-readably.

Rows are filtered with Up, vectorised over the batch, and deflated by ISA-L where it is installed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from app.formats import xmp
from library.identity import Identity, Origin

try:
    from isal import isal_zlib

    _compress, crc32 = isal_zlib.compress, isal_zlib.crc32
except ImportError:  # no wheel for this platform
    import zlib

    _compress, crc32 = zlib.compress, zlib.crc32

KEYWORD = "synthorax"
_LEVEL = 1
_ITXT = b"\0\0\0\0\0"  # after the keyword: uncompressed, no language, no translated keyword
_SEED = '"seed": '


def encode(levels: NDArray[np.uint8], identities: Sequence[Identity]) -> list[bytes]:
    """Grey images (n, h, w) uint8 as PNG files; the facts of each become JSON under `synthorax`."""
    count, height, width = levels.shape
    rows = np.empty((count, height, width + 1), np.uint8)
    rows[:, :, 0] = 2  # the Up filter
    rows[:, 0, 1:] = levels[:, 0]
    np.subtract(levels[:, 1:], levels[:, :-1], out=rows[:, 1:, 1:])  # modulo 256, as PNG wants it
    filtered = rows.reshape(count, -1)
    start = _start(width, height)
    files = []
    for i, (origin, label, seed) in enumerate(identities):
        before, after = _facts(origin, label)
        facts = b"%b%d%b" % (before, seed, after)
        data = b"IDAT" + _compress(filtered[i], _LEVEL)
        files.append(
            b"%b%b%b%b%b%b%b%b"
            % (
                start,
                (len(facts) - 4).to_bytes(4, "big"),
                facts,
                crc32(facts).to_bytes(4, "big"),
                (len(data) - 4).to_bytes(4, "big"),
                data,
                crc32(data).to_bytes(4, "big"),
                _END,
            )
        )
    return files


@lru_cache(maxsize=256)
def _facts(origin: Origin, label: str | None) -> tuple[bytes, bytes]:
    """The chunk of the facts before and after its seed, without length and checksum."""
    text = json.dumps(Identity(origin, label, 0).facts(), ensure_ascii=False)
    # A label may hold the word seed, but its quotes are escaped; the seed stands after it.
    before, _, after = text.rpartition(f"{_SEED}0")
    # A class may be a folder's name that is not UTF-8; JSON has an escape for it.
    body = f"{before}{_SEED}".encode(errors="backslashreplace")
    return b"iTXt" + KEYWORD.encode("latin-1") + _ITXT + body, after.encode()


@lru_cache(maxsize=16)
def _start(width: int, height: int) -> bytes:
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            _chunk(b"tEXt", b"Software\0Synthorax"),
            _chunk(b"tEXt", b"Comment\0Synthetic image; not for diagnosis"),
            _chunk(b"iTXt", b"XML:com.adobe.xmp" + _ITXT + xmp.packet().encode()),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", crc32(body))


_END = _chunk(b"IEND", b"")
