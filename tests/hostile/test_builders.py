"""The builders of bad files do what they claim, in little memory and time."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from tests.hostile import dicoms, images, png, rasters
from tests.hostile.archives import ARCHIVES, Archive
from tests.hostile.cases import Case
from tests.hostile.deflate import MIB, crc_of_zeros, deflated_zeros, zlib_zeros

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
FILES = (*images.IMAGES, *images.LENIENT, *dicoms.DICOMS)
IMAGES = {case.name: case for case in images.IMAGES}
DICOMS = {case.name: case for case in dicoms.DICOMS}
BUILDS: dict[str, Callable[[], bytes]] = {
    **{case.member: case.build for case in FILES},
    **{f"{made.name}.zip": partial(made.build, {"NORMAL/one.png": png.whole(32)})
       for made in ARCHIVES},
}  # fmt: skip

# How Pillow refuses each image; of those of several frames: how many.
BOMB = ["png-claimed-bomb", "png-real-bomb", "jpeg-claims-65535", "bmp-negative-height",
        "bmp-huge-height", "bmp-negative-width"]  # fmt: skip
FRAMES = {"png-animated": 3, "webp-animated": 3, "tiff-pages": 3, "tiff-loop": 2}
BROKEN = {
    "cut-jpeg": "truncated",
    "jpeg-header-only": "truncated",
    "png-wrong-crc": "broken data stream",
    "png-cut-idat": "truncated",
    "png-part-of-a-row": "truncated",
    "png-text-bomb": "Decompressed data too large",
    "png-profile-bomb": "Decompressed data too large",
    "webp-cut": "decoder",
    "tiff-strips-outside": "truncated",
}
NOT_DECODED = (ValueError, AttributeError, RuntimeError, NotImplementedError, TypeError)
UNKNOWN = sorted(set(IMAGES) - {*BOMB, *FRAMES, *BROKEN})


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=FORMATS)


def read(content: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(io.BytesIO(content))


def inflated(stream: bytes, bits: int) -> tuple[int, int]:
    """Bytes and zero bytes in a deflate stream, never all in memory."""
    unpacker = zlib.decompressobj(bits)
    size = zeros = 0
    while not unpacker.eof:
        part = unpacker.decompress(stream, MIB)
        if not part and not unpacker.unconsumed_tail and not unpacker.eof:
            raise AssertionError("the stream does not end")
        size, zeros = size + len(part), zeros + part.count(0)
        stream = unpacker.unconsumed_tail
    return size, zeros


def chunks(content: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        found[kind] = content[at + 8 : at + 8 + length]
        at += 12 + length
    return found


@pytest.mark.parametrize("name", BUILDS)
def test_files_are_small_and_made_fast_and_alike(name: str) -> None:
    tracemalloc.start()
    try:
        begin = time.monotonic()
        content = BUILDS[name]()
        took, peak = time.monotonic() - begin, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(content) < 4 * MIB
    assert took < 3
    assert peak < 16 * MIB
    assert BUILDS[name]() == content


@pytest.mark.parametrize("cases", [FILES, ARCHIVES], ids=["files", "archives"])
def test_names_are_unique_and_words_lower(cases: Sequence[Case | Archive]) -> None:
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert case.words
        assert all(word and word == word.lower() for word in case.words)


def test_members_are_unique_and_lie_in_a_class() -> None:
    members = [case.member for case in FILES]
    assert len(set(members)) == len(members)
    assert all(member.startswith("NORMAL/") and member.count("/") == 1 for member in members)


def test_there_are_enough() -> None:
    assert (len(images.IMAGES), len(dicoms.DICOMS), len(ARCHIVES)) >= (22, 14, 16)


def test_zeros_are_what_they_claim() -> None:
    size = 2 * MIB + 12_345
    assert zlib.decompress(zlib_zeros(size)) == bytes(size)
    content = b"before" + bytes(size) + b"after"
    packed = deflated_zeros(size, b"before", b"after")
    assert zlib.decompress(packed, -zlib.MAX_WBITS) == content
    assert crc_of_zeros(size) == zlib.crc32(bytes(size))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_what_bad_images_are_made_of_is_good(kind: str) -> None:
    with opened(rasters.encoded(kind)) as image:
        image.load()
        assert (image.format, image.size) == (kind, (64, 64))


def test_handmade_images_are_good() -> None:
    for content in (png.whole(), rasters.tiff(), rasters.tiff(loop=True)):
        with opened(content) as image:
            image.load()
            assert (image.mode, image.size, getattr(image, "n_frames", 1)) == ("L", (64, 64), 1)
    with opened(png.whole()) as image:
        image.verify()


@pytest.mark.parametrize("name", BOMB)
def test_bombs_are_limited_by_pillow(name: str) -> None:
    with pytest.raises(Image.DecompressionBombError):
        opened(IMAGES[name].build())


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_counted(name: str) -> None:
    with opened(IMAGES[name].build()) as image:
        assert getattr(image, "n_frames", 1) == FRAMES[name]
        for frame in range(FRAMES[name]):
            image.seek(frame)
            image.load()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_raise(name: str) -> None:
    with pytest.raises((OSError, ValueError), match=BROKEN[name]) as caught:
        opened(IMAGES[name].build()).load()
    assert not isinstance(caught.value, UnidentifiedImageError)


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_others_are_not_identified(name: str) -> None:
    with pytest.raises(UnidentifiedImageError):
        opened(IMAGES[name].build())


def test_the_real_bomb_holds_all_its_pixels() -> None:
    found = chunks(IMAGES["png-real-bomb"].build())
    assert struct.unpack(">II", found[b"IHDR"][:8]) == (20_000, 20_000)
    size = 20_000 * 20_001
    assert inflated(found[b"IDAT"], zlib.MAX_WBITS) == (size, size)


@pytest.mark.parametrize(("name", "kind"), [("text", b"zTXt"), ("profile", b"iCCP")])
def test_chunk_bombs_unpack_to_hundreds_of_megabytes(name: str, kind: bytes) -> None:
    content = chunks(IMAGES[f"png-{name}-bomb"].build())[kind]
    assert inflated(content[content.index(0) + 2 :], zlib.MAX_WBITS)[0] == 256 * MIB


@pytest.mark.parametrize("case", images.LENIENT, ids=lambda case: case.name)
def test_pillow_takes_the_lenient_for_whole(case: Case) -> None:
    with opened(case.build()) as image:
        image.load()
        if case.name == "png-too-few-rows":
            assert not np.asarray(image).any()
    if case.name == "png-wrong-crc-alone":
        with opened(case.build()) as image, pytest.raises(SyntaxError, match="checksum"):
            image.verify()


def test_the_good_dicom_is_whole_and_changed_by_keyword() -> None:
    found = read(dicoms.good())
    pixels = found.pixel_array
    assert pixels.shape == (64, 64)
    assert pixels.dtype == np.uint16
    assert (int(pixels.min()), int(pixels.max())) == (0, 4032)
    assert found.ViewPosition == "PA"
    assert found.PatientID
    assert found.file_meta.TransferSyntaxUID.is_little_endian
    assert not found.file_meta.TransferSyntaxUID.is_implicit_VR
    changed = read(dicoms.good(PatientID="OTHER", ViewPosition=None))
    assert changed.PatientID == "OTHER"
    assert "ViewPosition" not in changed


@pytest.mark.parametrize(
    "name",
    ["cut", "short-pixels", "empty-pixels", "claims-65535", "no-rows", "without-rows", "bits",
     "jpeg", "jpeg-lossless", "jpeg-ls", "jpeg-2000", "rle", "mpeg", "unknown-syntax",
     "no-fragments", "no-pixels", "preamble-only", "structured-report", "dicomdir"],
)  # fmt: skip
def test_dicoms_without_whole_pixels_are_read_and_not_decoded(name: str) -> None:
    found = read(DICOMS[name].build())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(NOT_DECODED):
            _ = found.pixel_array


def test_garbage_behind_the_preamble_holds_no_picture() -> None:
    try:
        assert "PixelData" not in read(DICOMS["garbage"].build())
    except (InvalidDicomError, NotImplementedError, OSError, ValueError, KeyError):
        pass


def test_a_recursive_reader_overflows_on_nested_sequences() -> None:
    with pytest.raises(RecursionError):
        read(DICOMS["nested"].build())


def test_dicoms_say_what_they_are() -> None:
    directory = read(DICOMS["dicomdir"].build())
    assert directory.file_meta.MediaStorageSOPClassUID.name == "Media Storage Directory Storage"
    report = read(DICOMS["structured-report"].build())
    assert (report.Modality, report.SOPClassUID.name) == ("SR", "Basic Text SR Storage")
    assert not any("PixelData" in found for found in (directory, report))
    assert read(DICOMS["frames"].build()).pixel_array.shape == (3, 64, 64)
    assert read(DICOMS["burned-in"].build()).BurnedInAnnotation == "YES"
    bits = read(DICOMS["bits"].build())
    assert bits.BitsStored > bits.BitsAllocated
    palette = read(DICOMS["palette"].build())
    assert palette.PhotometricInterpretation == "PALETTE COLOR"
    assert "RedPaletteColorLookupTableDescriptor" not in palette


def test_the_deflated_dicom_inflates_to_a_good_one_behind_zeros() -> None:
    content = next(case for case in dicoms.DICOMS if case.name == "inflating").build()
    start = 144 + struct.unpack("<I", content[140:144])[0]
    good = dicoms.good()
    size, zeros = inflated(content[start:], -zlib.MAX_WBITS)
    assert zeros >= 600 * MIB
    assert size < 600 * MIB + len(good)
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], 4)[:4] == b"\x08\0\x16\0"
