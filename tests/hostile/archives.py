"""ZIP archives that hold something hostile beside good files, or are no whole ZIP."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tests.hostile import png, zips
from tests.hostile.deflate import MIB, crc_of_zeros, deflated, deflated_zeros
from tests.hostile.zips import Member

Good = Mapping[str, bytes]

SHOWN = 100  # characters of an endless name that a report repeats, before an ellipsis
_ENCRYPTED = 0x1
_BOMB = ("bomb", "ratio", "large", "allowed", "times")
_NAME = ("name", "path", "outside", "leads out", "absolute", "travers", "backslash")
_SPECIAL = ("no file", "not a file", "regular", "pipe", "device", "special")
_UNPACK = ("unpack", "crc", "size", "checksum", "damaged", "decompress", "bytes")
_NOT_WHOLE = ("zip", "archive", "truncated", "damaged")


@dataclass(frozen=True)
class Archive:
    """bad: the member that is to be reported; None where the whole is refused.

    words: lower case; at least one of them stands in the reason of the refusal.
    """

    name: str
    bad: str | None
    words: tuple[str, ...]
    whole: bool
    build: Callable[[Good], bytes]


def good_members(good: Good) -> list[Member]:
    return [zips.member(name, content) for name, content in good.items()]


def _picture(name: str) -> Member:
    """A member whose content is a good image: only what is changed of it is wrong."""
    return zips.member(name, png.whole())


def _with(good: Good, *hostile: Member) -> bytes:
    return zips.zipped([*good_members(good), *hostile])


def _named(name: str, shown: str, slug: str, *words: str) -> Archive:
    return Archive(slug, shown, (*words, *_NAME), False, lambda good: _with(good, _picture(name)))


def _special(slug: str, kind: int, content: bytes, *words: str) -> Archive:
    name = f"NORMAL/{slug}.png"
    made = replace(zips.member(name, content), external=(kind | 0o644) << 16)
    return Archive(slug, name, (*words, *_SPECIAL), False, lambda good: _with(good, made))


def _twins(good: Good) -> bytes:
    """Two members of one name and unlike content."""
    twin = "NORMAL/twin.png"
    return _with(good, _picture(twin), zips.member(twin, png.whole(48)))


def _encrypted(good: Good) -> bytes:
    secret = _picture("NORMAL/secret.png")
    # Before the data stand 12 bytes of the cipher's header.
    hidden = replace(secret, packed=bytes(range(12)) + secret.packed, flags=_ENCRYPTED)
    return _with(good, hidden)


def _bomb(name: str, size: int, claimed: int) -> Callable[[Good], bytes]:
    """Zeros, which deflate packs to a thousandth."""

    def build(good: Good) -> bytes:
        packed = deflated_zeros(size)
        return _with(good, Member(name.encode(), packed, claimed, crc_of_zeros(size)))

    return build


def _smaller(good: Good) -> bytes:
    return _with(good, replace(_picture("NORMAL/larger.png"), size=50))


def _smaller_with_crc(good: Good) -> bytes:
    """The CRC fits the part that is declared: a reader that stops there sees nothing wrong."""
    content = png.whole()
    half = len(content) // 2
    made = zips.member("NORMAL/half.png", content)
    return _with(good, replace(made, size=half, crc=zlib.crc32(content[:half])))


def _larger(good: Good) -> bytes:
    made = _picture("NORMAL/smaller.png")
    return _with(good, replace(made, size=made.size + 1000))


def _wrong_crc(good: Good) -> bytes:
    made = _picture("NORMAL/crc.png")
    return _with(good, replace(made, crc=made.crc ^ 0xFFFFFFFF))


def _damaged_stream(good: Good) -> bytes:
    made = _picture("NORMAL/stream.png")
    # 0x07: a last block of the reserved type 3, which no decoder takes
    return _with(good, replace(made, packed=b"\x07" + made.packed[1:]))


def _nested(good: Good) -> bytes:
    inner = zips.zipped([_picture("inner.png")])
    return _with(good, zips.member("NORMAL/more.zip", inner))


def _same_header(good: Good) -> bytes:
    """Two entries of the directory name one local header."""
    first = _picture("NORMAL/first.png")
    content, entries = zips.body([*good_members(good), first])
    offset = len(content) - len(first.packed) - len(zips.local_header(first))
    second = replace(first, name=b"NORMAL/second.png")
    return zips.closed(content, [*entries, zips.directory_entry(second, offset)])


def _quoted(good: Good) -> bytes:
    """Fifield's overlap: each member quotes the next one's header, and all end in one kernel.

    Every member is sound in itself, CRC and all: 10 kB hold 100 files of 1 MiB.
    """
    content = bytes(MIB - 100 * 100)  # with all the headers still below 1 MiB
    packed, crc, size = deflated(content), zlib.crc32(content), len(content)
    chain: list[Member] = []
    quoted = content
    for number in reversed(range(100)):
        made = Member(f"NORMAL/quoted-{number:02}.png".encode(), packed, size, crc)
        chain.insert(0, made)
        header = zips.local_header(made)
        # A stored block that is not the last one (RFC 1951, 3.2.4).
        packed = struct.pack("<BHH", 0, len(header), 0xFFFF ^ len(header)) + header + packed
        quoted = header + quoted
        crc, size = zlib.crc32(quoted), len(quoted)
    body, entries = zips.body(good_members(good))
    first = chain[0]
    start = len(body)
    for made in chain:
        entries.append(zips.directory_entry(made, start))
        start += len(zips.local_header(made)) + 5
    return zips.closed(body + zips.local_header(first) + first.packed, entries)


def _claims_exbibytes(good: Good) -> bytes:
    """One member claims 4 EiB by its ZIP64 field (APPNOTE 4.5.3)."""
    made = _picture("NORMAL/claims.png")
    extra = struct.pack("<HHQ", 1, 8, 1 << 62)
    return _with(good, replace(made, size=0xFFFFFFFF, extra=extra))


def _cut(good: Good) -> bytes:
    content = _with(good)
    return content[: len(content) // 2]


def _no_end(good: Good) -> bytes:
    content, entries = zips.body(good_members(good))
    return content + b"".join(entries)


def _directory_beyond(good: Good) -> bytes:
    content, entries = zips.body(good_members(good))
    return zips.closed(content, entries, offset=1 << 31)


_LONG = "NORMAL/" + "x" * 5000 + ".png"

ARCHIVES: tuple[Archive, ...] = (
    _named("../evil.png", "../evil.png", "parent"),
    _named("NORMAL/../../evil.png", "NORMAL/../../evil.png", "parent-inside"),
    _named("/abs.png", "/abs.png", "absolute"),
    _named("", "(no name)", "nameless"),
    _named("C:\\evil.png", "C:\\evil.png", "drive"),
    _named("..\\..\\evil.png", "..\\..\\evil.png", "backslashes"),
    _named("NORMAL/nul.png\0.exe", "NORMAL/nul.png\0.exe", "nul", "control", "nul"),
    _named(_LONG, _LONG[:SHOWN] + "…", "long-name", "long", "character"),
    _special("symlink", stat.S_IFLNK, b"/etc/passwd", "symbolic link", "symlink"),
    _special("fifo", stat.S_IFIFO, b"", "fifo"),
    _special("device", stat.S_IFCHR, b""),
    Archive("twins", "NORMAL/twin.png", ("twice", "this name", "same name", "duplicate"), False,
            _twins),
    Archive("encrypted", "NORMAL/secret.png", ("encrypt", "password"), False, _encrypted),
    Archive("method", "NORMAL/odd.png", ("method", "compress"), False,
            lambda good: _with(good, replace(_picture("NORMAL/odd.png"), method=99))),
    Archive("size-bomb", "NORMAL/zeros.png", _BOMB, False,
            _bomb("NORMAL/zeros.png", 600 * MIB, 600 * MIB)),
    Archive("ratio-bomb", "NORMAL/zeros.png", _BOMB, False,
            _bomb("NORMAL/zeros.png", 100 * MIB, 100 * MIB)),
    Archive("hidden-bomb", "NORMAL/zeros.png", (*_BOMB, *_UNPACK), False,
            _bomb("NORMAL/zeros.png", 600 * MIB, 5000)),
    Archive("smaller-size", "NORMAL/larger.png", _UNPACK, False, _smaller),
    Archive("smaller-size-crc", "NORMAL/half.png", (*_UNPACK, "decode", "truncated"), False,
            _smaller_with_crc),
    Archive("larger-size", "NORMAL/smaller.png", _UNPACK, False, _larger),
    Archive("wrong-crc", "NORMAL/crc.png", _UNPACK, False, _wrong_crc),
    Archive("damaged-stream", "NORMAL/stream.png", _UNPACK, False, _damaged_stream),
    Archive("nested", "NORMAL/more.zip", ("archive", "zip", "not an image"), False, _nested),
    Archive("same-header", "NORMAL/second.png", ("overlap", "bomb", "header"), False,
            _same_header),
    Archive("quoted-overlap", "NORMAL/quoted-00.png", ("overlap", "bomb"), False, _quoted),
    Archive("claims-exbibytes", None, ("bytes", "large", "allowed"), True, _claims_exbibytes),
    Archive("cut", None, _NOT_WHOLE, True, _cut),
    Archive("no-end", None, _NOT_WHOLE, True, _no_end),
    Archive("not-a-zip", None, _NOT_WHOLE, True,
            lambda _: b"Rar!\x1a\x07\x01\x00" + bytes(range(256)) * 4),
    Archive("empty", None, ("no file", "empty"), True, lambda _: zips.zipped([])),
    Archive("directory-beyond", None, (*_NOT_WHOLE, "outside", "offset"), True,
            _directory_beyond),
)  # fmt: skip
