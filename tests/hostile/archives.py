"""ZIPs that mean harm beside good files, or are none."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Good = Mapping[str, bytes]
END = b"PK\x05\x06"


@dataclass(frozen=True)
class Archive:
    """bad: the member that is to be refused, and a word of its reason; None: the whole is."""

    build: Callable[[Good], bytes]
    bad: str | None
    word: str


def archives() -> dict[str, Archive]:
    escape, root = "../evil.png", "/abs.png"
    return {
        "traversal": Archive(lambda good: added(good, escape), escape, "leads out"),
        "deep-traversal": Archive(lambda good: added(good, "A/../../e.png"), "A/../../e.png",
                                  "leads out"),
        "absolute": Archive(lambda good: added(good, root), root, "leads out"),
        "drive": Archive(lambda good: added(good, "C:evil.png"), "C:evil.png", "leads out"),
        "backslashes": Archive(lambda good: added(good, "..\\evil.png"), "..\\evil.png",
                               "leads out"),
        "symlink": Archive(lambda good: special(good, stat.S_IFLNK), "A/special", "symbolic link"),
        "fifo": Archive(lambda good: special(good, stat.S_IFIFO), "A/special", "no file"),
        "device": Archive(lambda good: special(good, stat.S_IFCHR), "A/special", "no file"),
        "twins": Archive(lambda good: added(good, "A/twin.png", 2), "A/twin.png", "2 files"),
        "encrypted": Archive(encrypted, "A/secret.png", "encrypted"),
        "odd-method": Archive(odd_method, "A/odd.png", "method 99"),
        "ratio-bomb": Archive(ratio_bomb, "A/bomb.png", "bomb"),
        "lying-size": Archive(lying_size, "A/liar.png", "cannot be unpacked"),
        "wrong-crc": Archive(wrong_crc, "A/damaged.png", "cannot be unpacked"),
        "damaged-stream": Archive(damaged_stream, "A/damaged.png", "cannot be unpacked"),
        "nested": Archive(lambda good: added(good, "A/more.zip"), "A/more.zip", "archive inside"),
        "nul": Archive(lambda good: renamed(good, b"A/nul#.png", b"A/nul\0.png"), "A/nul\0.png",
                       "control characters"),
        "long-name": Archive(lambda good: added(good, "A/" + "x" * 5000), "A/" + "x" * 98 + "…",
                             "5002 characters"),
        "overlap": Archive(overlapping, "A/second.png", "overlaps"),
        "cut": Archive(lambda good: zipped(good)[:-200], None, "no whole ZIP"),
        "no-end": Archive(lambda good: zipped(good).replace(END, b"PK\0\0"), None, "no whole ZIP"),
        "not-a-zip": Archive(lambda _: b"Rar!" + bytes(500), None, "no whole ZIP"),
        "empty": Archive(lambda _: zipped({}), None, "holds no file"),
        "directory-outside": Archive(directory_outside, None, "no whole ZIP"),
        "claims-a-lot": Archive(claims_a_lot, "A/claims.png", "allowed in one file"),
    }  # fmt: skip


def zipped(files: Good, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def added(good: Good, name: str, times: int = 1) -> bytes:
    """The good files, and one more under this name: as it stands, not as zipfile would mend it."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # two of one name
        for good_name, content in good.items():
            archive.writestr(zipfile.ZipInfo(good_name), content)
        for _ in range(times):
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            archive.writestr(info, next(iter(good.values())))
    return out.getvalue()


def special(good: Good, kind: int) -> bytes:
    out = io.BytesIO(zipped(good))
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo("A/special")
        info.external_attr = (kind | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def _patched(good: Good, name: str, place: int, value: bytes, local: int | None = None) -> bytes:
    """One more file; bytes of its entry in the directory (and of its own header) are changed."""
    content = bytearray(zipped({**good, name: next(iter(good.values()))}))
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    content[entry + place : entry + place + len(value)] = value
    if local is not None:
        header = content.index(b"PK\x03\x04", content.index(name.encode()) - 30 - 2)
        content[header + local : header + local + len(value)] = value
    return bytes(content)


def encrypted(good: Good) -> bytes:
    return _patched(good, "A/secret.png", 8, b"\x01\x00", 6)


def odd_method(good: Good) -> bytes:
    return _patched(good, "A/odd.png", 10, struct.pack("<H", 99), 8)


def lying_size(good: Good) -> bytes:
    return _patched(good, "A/liar.png", 24, struct.pack("<I", 50), 22)


def claims_a_lot(good: Good) -> bytes:
    return _patched(good, "A/claims.png", 24, struct.pack("<I", 2**31), 22)


def wrong_crc(good: Good) -> bytes:
    return _patched(good, "A/damaged.png", 16, b"\x12\x34\x56\x78", 14)


def damaged_stream(good: Good) -> bytes:
    content = bytearray(zipped({**good, "A/damaged.png": next(iter(good.values()))}))
    at = content.index(b"A/damaged.png") + len("A/damaged.png") + 10
    content[at : at + 40] = bytes(40)
    return bytes(content)


def renamed(good: Good, before: bytes, after: bytes) -> bytes:
    return added(good, before.decode()).replace(before, after)


def ratio_bomb(good: Good) -> bytes:
    """300 MB of zeros in 300 kB, made as they are packed."""
    out = io.BytesIO(zipped(good))
    with (
        zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("A/bomb.png", "w") as bomb,
    ):
        for _ in range(300):
            bomb.write(bytes(2**20))
    return out.getvalue()


def overlapping(good: Good) -> bytes:
    """Two entries of the directory name the same bytes, as in a bomb of many such entries."""
    picture = next(iter(good.values()))
    out = io.BytesIO(zipped(good))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("A/first.png"), picture)
        first = archive.getinfo("A/first.png")
        second = zipfile.ZipInfo("A/second.png")
        second.header_offset, second.CRC = first.header_offset, zlib.crc32(picture)
        second.file_size = second.compress_size = len(picture)
        archive.filelist.append(second)
        archive.NameToInfo["A/second.png"] = second
    return out.getvalue()


def directory_outside(good: Good) -> bytes:
    content = bytearray(zipped(good))
    at = content.rindex(END)
    content[at + 16 : at + 20] = struct.pack("<I", 2**31)
    return bytes(content)
