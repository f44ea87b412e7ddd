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
# A header of tarfile's, without name, size and checksum: making each anew takes 16 us, and a sample
# has three.
_EMPTY = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_BEFORE, _BETWEEN, _AFTER = _EMPTY[100:124], _EMPTY[136:148], _EMPTY[156:]
_SUM = sum(_BEFORE) + sum(_BETWEEN) + sum(_AFTER) + 8 * ord(" ")


class WebDatasetForm:
    """A tar of one sample an image."""

    def __init__(self, file_format: FileFormat, labels: Sequence[str]) -> None:
        """`labels`: the model's classes, numbered in this order; none: no `.cls` files."""
        self.format = file_format
        self._suffix = file_format.suffix.encode()
        self._classes = {label: str(number).encode() for number, label in enumerate(labels)}
        self._bytes = 0

    def head(self) -> bytes:
        return b""

    def chunk(self, part: Encoded) -> bytes:
        parts: list[bytes] = []
        for i, (identity, file) in enumerate(zip(part.identities, part.files, strict=True)):
            key = b"%016d" % identity.seed
            sha256 = hashlib.sha256(part.levels[i]).hexdigest()  # of the pixels
            facts = {**identity.facts(), "sha256": sha256}
            parts += member(b"%b.%b" % (key, self._suffix), file)
            text = json.dumps(facts, ensure_ascii=False).encode(errors="backslashreplace")
            parts += member(key + b".json", text)
            if identity.label is not None and self._classes:
                parts += member(key + b".cls", self._classes[identity.label])
        joined = b"".join(parts)
        self._bytes += len(joined)
        return joined

    def tail(self) -> Iterator[bytes]:
        end = 2 * _BLOCK
        yield bytes(end + -(self._bytes + end) % _END)


def member(name: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, content and padding of a file: a name of at most 100 bytes, below 8 GiB."""
    size = b"%011o\0" % len(content)
    checksum = b"%06o\0 " % (_SUM + sum(name) + sum(size))
    header = b"".join((name.ljust(100, b"\0"), _BEFORE, size, _BETWEEN, checksum, _AFTER))
    return header, content, bytes(-len(content) % _BLOCK)
