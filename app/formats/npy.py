"""application/x-npy and application/x-npz: pixels for programs, sent as they are made."""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Iterator

import numpy as np
from numpy.lib import format as npy

from app.formats.encoding import Encoded
from app.formats.png import crc32
from app.formats.zipping import ZipWriter, descriptor, streamed_entry, streamed_header
from library.identity import Identity, Origin

_IMAGES = b"images.npy"


class NpyForm:
    """One array (n, r, r) uint8."""

    format = None

    def __init__(self, count: int, resolution: int) -> None:
        self._shape = (count, resolution, resolution)

    def head(self) -> bytes:
        buffer = io.BytesIO()
        header = {"descr": "|u1", "fortran_order": False, "shape": self._shape}
        npy.write_array_header_1_0(buffer, header)
        return buffer.getvalue()

    def chunk(self, part: Encoded) -> bytes:
        return part.levels.tobytes()

    def tail(self) -> Iterator[bytes]:
        yield from ()


class NpzForm:
    """`images` (n, r, r) uint8, `seeds` (n,) uint64, `labels` (n,) text, `provenance` (JSON)."""

    format = None

    def __init__(self, origin: Origin, count: int, resolution: int) -> None:
        self._origin = origin
        self._images = NpyForm(count, resolution)
        self._zip = ZipWriter()
        self._crc = 0
        self._size = 0
        self._seeds = array("Q")
        self._labels: list[str] = []

    def head(self) -> bytes:
        header = streamed_header(_IMAGES)
        start = self._images.head()
        self._count(start)
        return header + start

    def chunk(self, part: Encoded) -> bytes:
        data = self._images.chunk(part)
        self._count(data)
        self._seeds.extend(identity.seed for identity in part.identities)
        self._labels.extend(identity.label or "" for identity in part.identities)
        return data

    def tail(self) -> Iterator[bytes]:
        end = descriptor(self._crc, self._size, self._size)
        self._zip.offset = len(streamed_header(_IMAGES)) + self._size + len(end)
        yield end
        entries = [streamed_entry(_IMAGES, self._crc, self._size, 0)]
        facts = Identity(self._origin, None, 0).facts()
        shared = {key: facts[key] for key in facts if key not in ("label", "seed")}
        arrays = {
            b"seeds.npy": np.array(self._seeds, np.uint64),
            b"labels.npy": np.array(self._labels, np.str_),
            b"provenance.npy": np.array(json.dumps(shared, ensure_ascii=False)),
        }
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            entry, data = self._zip.file(name, buffer.getvalue())
            entries.append(entry)
            yield data
        yield from self._zip.directory(entries, len(entries))

    def _count(self, data: bytes) -> None:
        self._crc = crc32(data, self._crc)
        self._size += len(data)
