"""Archives hold what they claim; the good files in them stay readable."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from itertools import pairwise

import pytest

from tests.hostile import png, rasters
from tests.hostile.archives import ARCHIVES, SHOWN, Archive
from tests.hostile.deflate import MIB

BY_NAME = {made.name: made for made in ARCHIVES}
GOOD = {
    "NORMAL/one.png": png.whole(32),
    "NORMAL/größe.png": png.whole(40),
    "PNEUMONIA/two.jpeg": rasters.encoded("JPEG"),
}


def archive(name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(BY_NAME[name].build(GOOD)))


def size_of(opened: zipfile.ZipFile, name: str) -> int:
    """Bytes of a member, read in parts; zipfile checks the CRC at the end."""
    with opened.open(name) as member:
        return sum(len(part) for part in iter(lambda: member.read(MIB), b""))


@pytest.mark.parametrize("made", [a for a in ARCHIVES if not a.whole], ids=lambda a: a.name)
def test_good_members_beside_a_bad_one_stay_readable(made: Archive) -> None:
    with archive(made.name) as opened:
        for name, content in GOOD.items():
            assert opened.read(name) == content
        names = [info.orig_filename for info in opened.infolist()]
        assert len(names) > len(GOOD)
        assert made.bad is not None
        assert made.bad not in GOOD
        shown = [
            (name if len(name) <= 4096 else name[:SHOWN] + "…") or "(no name)" for name in names
        ]
        assert shown.count(made.bad) == (2 if made.name == "twins" else 1)


@pytest.mark.parametrize("made", [a for a in ARCHIVES if a.whole], ids=lambda a: a.name)
def test_whole_archives_are_none(made: Archive) -> None:
    assert made.bad is None
    content = io.BytesIO(made.build(GOOD))
    if made.name in ("cut", "no-end", "not-a-zip"):
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(content)
        return
    with zipfile.ZipFile(content) as opened:
        infos = opened.infolist()
    if made.name == "empty":
        assert not infos
    elif made.name == "directory-beyond":
        assert all(info.header_offset < 0 for info in infos)
    else:
        assert max(info.file_size for info in infos) == 1 << 62


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("encrypted", RuntimeError, "encrypted"),
        ("method", NotImplementedError, "not supported"),
        ("smaller-size", zipfile.BadZipFile, "CRC"),
        ("hidden-bomb", zipfile.BadZipFile, "CRC"),
        ("wrong-crc", zipfile.BadZipFile, "CRC"),
        ("damaged-stream", zlib.error, "invalid block type"),
        ("same-header", zipfile.BadZipFile, "(differ|Overlapped)"),
    ],
)
def test_zipfile_cannot_read_these(name: str, kind: type[Exception], words: str) -> None:
    bad = BY_NAME[name].bad
    assert bad is not None
    with archive(name) as opened, pytest.raises(kind, match=words):
        size_of(opened, bad)


def test_what_archives_say_of_their_members() -> None:
    for name, kind in (
        ("symlink", stat.S_IFLNK), ("fifo", stat.S_IFIFO), ("device", stat.S_IFCHR),
    ):  # fmt: skip
        with archive(name) as opened:
            mode = opened.getinfo(f"NORMAL/{name}.png").external_attr >> 16
            assert stat.S_IFMT(mode) == kind
    with archive("symlink") as opened:
        assert opened.read("NORMAL/symlink.png") == b"/etc/passwd"
    with archive("larger-size") as opened:
        info = opened.getinfo("NORMAL/smaller.png")
        assert info.file_size == len(opened.read(info)) + 1000
    with archive("smaller-size-crc") as opened:
        content = opened.read("NORMAL/half.png")
        assert content == png.whole()[: len(content)]
        assert len(content) == len(png.whole()) // 2
    with archive("nested") as opened:
        inner = zipfile.ZipFile(io.BytesIO(opened.read("NORMAL/more.zip")))
        assert inner.testzip() is None


@pytest.mark.parametrize(("name", "size"), [("size-bomb", 600), ("ratio-bomb", 100)])
def test_bombs_hold_what_they_claim(name: str, size: int) -> None:
    with archive(name) as opened:
        info = opened.getinfo("NORMAL/zeros.png")
        assert info.file_size == size * MIB
        assert info.file_size > 1000 * info.compress_size
        assert size_of(opened, info.filename) == info.file_size


def test_quoted_members_overlap_and_are_sound_in_themselves() -> None:
    content = BY_NAME["quoted-overlap"].build(GOOD)
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        chain = [info for info in opened.infolist() if "quoted" in info.filename]
    assert sum(info.file_size for info in chain) > 100 * (MIB - 10_000)
    assert sum(info.compress_size for info in chain) > len(content)
    for info in (chain[0], chain[50], chain[-1]):  # not by zipfile, which may refuse overlaps
        start = info.header_offset + 30 + len(info.filename)
        packed = content[start : start + info.compress_size]
        found = zlib.decompress(packed, -zlib.MAX_WBITS)
        assert (len(found), zlib.crc32(found)) == (info.file_size, info.CRC)
    for info, following in pairwise(chain):
        end = info.header_offset + 30 + len(info.filename) + info.compress_size
        assert following.header_offset < end
