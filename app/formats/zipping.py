"""A ZIP archive written as it is made: nothing is kept but what its directory needs.

Entries are stored or deflated, named in UTF-8 and dated 1980-01-01, so that the same content is
the same bytes.  ZIP64 where a count, a size or an offset needs it (APPNOTE 6.3.10).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.formats.png import crc32

_UTF8 = 0x0800
_STREAMED = 0x0008  # checksum and sizes follow the data
_STORED, _DEFLATED = 0, 8
_DATE = 0x0021  # 1980-01-01, the earliest; time 0
_MADE_BY_UNIX = 3 << 8
_MODE = 0o100644 << 16
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF


class Entry(NamedTuple):
    """What the directory says of a file."""

    name: bytes
    crc: int
    size: int
    stored_size: int  # in the archive
    offset: int
    method: int = _STORED
    flags: int = _UTF8


class ZipWriter:
    """Counts offsets; every method returns bytes to send, in order."""

    def __init__(self) -> None:
        self.offset = 0

    def file(self, name: bytes, content: bytes) -> tuple[Entry, bytes]:
        """A whole file, stored."""
        entry = Entry(name, crc32(content), len(content), len(content), self.offset)
        data = local_header(name, entry.crc, len(content)) + content
        self.offset += len(data)
        return entry, data

    def stream(self, name: bytes, parts: Iterable[bytes], entries: list[Entry]) -> Iterator[bytes]:
        """A file of unknown size, deflated; its entry is appended to `entries` at the end.

        The uncompressed size must stay below 4 GiB.
        """
        offset, crc, size, stored = self.offset, 0, 0, 0
        deflate = zlib.compressobj(1, wbits=-15)
        flags = _UTF8 | _STREAMED
        yield self._sent(_header(name, 0, 0, 0, _DEFLATED, flags))
        for part in parts:
            crc, size = crc32(part, crc), size + len(part)
            if data := deflate.compress(part):
                stored += len(data)
                yield self._sent(data)
        data = deflate.flush()
        stored += len(data)
        yield self._sent(data + descriptor(crc, stored, size))
        entries.append(Entry(name, crc, size, stored, offset, _DEFLATED, flags))

    def directory(self, entries: Iterable[Entry], count: int) -> Iterator[bytes]:
        """The central directory and the end of the archive."""
        start = self.offset
        for entry in entries:
            yield self._sent(_directory_entry(entry))
        size, wide = self.offset - start, b""
        if count >= _MAX_16 or start >= _MAX_32 or size >= _MAX_32:
            # ZIP64 end of central directory, and its locator.
            wide = struct.pack(
                "<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start
            ) + struct.pack("<IIQI", 0x07064B50, 0, self.offset, 1)
        end = struct.pack(
            "<IHHHHIIH", 0x06054B50, 0, 0,
            min(count, _MAX_16), min(count, _MAX_16), min(size, _MAX_32), min(start, _MAX_32), 0,
        )  # fmt: skip
        yield self._sent(wide + end)

    def _sent(self, data: bytes) -> bytes:
        self.offset += len(data)
        return data


def local_header(name: bytes, crc: int, size: int) -> bytes:
    """Before the data of a stored file below 4 GiB."""
    return _header(name, crc, size, size, _STORED, _UTF8)


def streamed_header(name: bytes) -> bytes:
    """Before the data of a stored file whose checksum comes after it (`descriptor`)."""
    return _header(name, 0, 0, 0, _STORED, _UTF8 | _STREAMED)


def descriptor(crc: int, stored: int, size: int) -> bytes:
    """After the data of a streamed file below 4 GiB."""
    return struct.pack("<IIII", 0x08074B50, crc, stored, size)


def streamed_entry(name: bytes, crc: int, size: int, offset: int) -> Entry:
    return Entry(name, crc, size, size, offset, _STORED, _UTF8 | _STREAMED)


def _header(name: bytes, crc: int, stored: int, size: int, method: int, flags: int) -> bytes:
    return (
        struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, 20, flags, method, 0, _DATE, crc, stored, size, len(name), 0
        )
        + name
    )


def _directory_entry(entry: Entry) -> bytes:
    extra, offset, version = b"", entry.offset, 20
    if offset >= _MAX_32:
        extra, offset, version = struct.pack("<HHQ", 1, 8, offset), _MAX_32, 45
    fixed = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50, _MADE_BY_UNIX | version, version, entry.flags, entry.method, 0, _DATE,
        entry.crc, entry.stored_size, entry.size, len(entry.name), len(extra), 0, 0, 0,
        _MODE, offset,
    )  # fmt: skip
    return fixed + entry.name + extra
