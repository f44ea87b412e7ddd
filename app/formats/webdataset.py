"""WebDataset: a tar of samples, each one an image, its facts as JSON, and its class as a number.

Files of one sample share their name up to the first dot, its seed with 16 digits
(github.com/webdataset/webdataset).  USTAR, dated 1970, owned by nobody: the same samples are the
same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence

from app.formats.encoding import Encoded, FileFormat

_BLOCK = 512
_END = 20 * _BLOCK  # a tar is padded to a multiple of it


class WebDatasetForm:
    """A tar of one sample an image."""

    def __init__(self, file_format: FileFormat, labels: Sequence[str]) -> None:
        """`labels`: the model's classes, numbered in this order; none: no `.cls` files."""
        self.format = file_format
        self._classes = {label: str(number).encode() for number, label in enumerate(labels)}
        self._bytes = 0

    def head(self) -> bytes:
        return b""

    def chunk(self, part: Encoded) -> bytes:
        parts: list[bytes] = []
        for i, (identity, file) in enumerate(zip(part.identities, part.files, strict=True)):
            key = f"{identity.seed:016d}"
            sha256 = hashlib.sha256(part.levels[i]).hexdigest()  # of the pixels
            facts = {**identity.facts(), "sha256": sha256}
            parts += _member(f"{key}.{self.format.suffix}", file)
            parts += _member(f"{key}.json", json.dumps(facts, ensure_ascii=False).encode())
            if identity.label is not None and self._classes:
                parts += _member(f"{key}.cls", self._classes[identity.label])
        joined = b"".join(parts)
        self._bytes += len(joined)
        return joined

    def tail(self) -> Iterator[bytes]:
        end = 2 * _BLOCK
        yield bytes(end + -(self._bytes + end) % _END)


def _member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    header = entry.tobuf(tarfile.USTAR_FORMAT)
    return header, content, bytes(-len(content) % _BLOCK)
