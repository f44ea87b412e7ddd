"""ZIP records as they are written (APPNOTE 4.3), each field free to lie.

Not by zipfile, which mends names and sizes, and which validators read with.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.hostile.deflate import deflated

STORED, DEFLATED = 0, 8
REGULAR = (stat.S_IFREG | 0o644) << 16
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_TIME, _DATE = 0, (2020 - 1980) << 9 | 1 << 5 | 1  # midnight, 1 January 2020
_UNIX, _VERSION, _UTF8 = 3 << 8, 20, 0x800


@dataclass(frozen=True)
class Member:
    """A file of a ZIP.  size, crc: what its headers say; extra: of the directory's entry alone."""

    name: bytes
    packed: bytes
    size: int
    crc: int
    method: int = DEFLATED
    flags: int = 0
    external: int = REGULAR
    extra: bytes = b""


def member(name: str, content: bytes) -> Member:
    """An honest member."""
    flags = 0 if name.isascii() else _UTF8
    return Member(name.encode(), deflated(content), len(content), zlib.crc32(content),
                  flags=flags)  # fmt: skip


def local_header(of: Member) -> bytes:
    fixed = _LOCAL.pack(
        b"PK\x03\x04", _VERSION, of.flags, of.method, _TIME, _DATE,
        of.crc, len(of.packed), of.size, len(of.name), 0,
    )  # fmt: skip
    return fixed + of.name


def directory_entry(of: Member, offset: int) -> bytes:
    fixed = _CENTRAL.pack(
        b"PK\x01\x02", _UNIX | _VERSION, _VERSION, of.flags, of.method, _TIME, _DATE,
        of.crc, len(of.packed), of.size, len(of.name), len(of.extra), 0, 0, 0, of.external, offset,
    )  # fmt: skip
    return fixed + of.name + of.extra


def end_record(entries: int, size: int, offset: int) -> bytes:
    """The end of central directory."""
    return _END.pack(b"PK\x05\x06", 0, 0, entries, entries, size, offset, 0)


def body(members: Sequence[Member]) -> tuple[bytes, list[bytes]]:
    """Local headers and data, one after the other; the directory's entries for them."""
    parts: list[bytes] = []
    entries, offset = [], 0
    for each in members:
        entries.append(directory_entry(each, offset))
        parts += [local_header(each), each.packed]
        offset += len(parts[-2]) + len(parts[-1])
    return b"".join(parts), entries


def closed(content: bytes, entries: Sequence[bytes], offset: int | None = None) -> bytes:
    """A body with its directory.  offset: where that claims to begin, if not where it does."""
    directory = b"".join(entries)
    start = len(content) if offset is None else offset
    return content + directory + end_record(len(entries), len(directory), start)


def zipped(members: Sequence[Member]) -> bytes:
    return closed(*body(members))
