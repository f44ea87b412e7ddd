"""8-bit grey PNG with its provenance inside: what made this image, machine-readably.

Rows are filtered with Up, vectorised over the image, and deflated by ISA-L where it is installed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from isal import isal_zlib

    def _deflate(content: bytes) -> bytes:
        return bytes(isal_zlib.compress(content, 1))

    DEFLATE = "isal"
except ImportError:  # no wheel for this platform

    def _deflate(content: bytes) -> bytes:
        return zlib.compress(content, 1)

    DEFLATE = "zlib"

KEYWORD = "synthorax"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    "Iptc4xmpExt:DigitalSourceType="
    '"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def encode(image: NDArray[np.uint8], provenance: Mapping[str, Any]) -> bytes:
    """A grey image (h, w) uint8 as PNG; `provenance` becomes JSON under the key `synthorax`."""
    height, width = image.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = 2  # the Up filter
    rows[0, 1:] = image[0]
    np.subtract(image[1:], image[:-1], out=rows[1:, 1:])  # modulo 256, as PNG wants it
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            _chunk(b"tEXt", b"Software\0Synthorax"),
            _chunk(b"tEXt", b"Comment\0Synthetic image; not for diagnosis"),
            _text(KEYWORD, json.dumps(provenance, ensure_ascii=False)),
            _text("XML:com.adobe.xmp", _XMP),
            _chunk(b"IDAT", _deflate(rows.tobytes())),
            _chunk(b"IEND", b""),
        )
    )


def _text(keyword: str, text: str) -> bytes:
    """An iTXt chunk: uncompressed, no language."""
    return _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
