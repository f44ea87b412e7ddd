"""What POST /verify reads of a file: ours, others', damaged ones and hostile ones."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.formats.encoding import FILE_FORMATS
from app.formats.png import KEYWORD
from app.verify.reading import SIDE_MAX, Picture, read
from library.errors import InvalidValue
from library.identity import Identity, Origin

ORIGIN = Origin("chest@1", "a" * 64, "b" * 64, "torch", "bfloat16", 0.7)
SAMPLE = Identity(ORIGIN, 'PNEUMONIA "1" <&>', 42)
NAMES = list(FILE_FORMATS)
LOSSLESS = ["png", "webp", "dicom"]

every = pytest.mark.parametrize("name", NAMES)
# Pillow warns of much that it then reads all the same; the server goes on too.
forgiving = pytest.mark.filterwarnings("ignore:::PIL")


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def file_of(name: str, levels: NDArray[np.uint8], sample: Identity = SAMPLE) -> bytes:
    (content,) = FILE_FORMATS[name].encoder()(levels[None], [sample])
    return content


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png_of(*chunks: tuple[bytes, bytes], side: tuple[int, int] = (4, 4), colours: int = 0) -> bytes:
    """A PNG of 4 x 4 zeros with chunks of one's choice before its pixels; colours 3: a palette."""
    header = struct.pack(">IIBBBBB", *side, 8, colours, 0, 0, 0)
    pixels = zlib.compress(bytes(4 * 5))
    whole = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in whole)


def told(text: bytes, keyword: bytes = KEYWORD.encode()) -> bytes:
    return png_of((b"iTXt", keyword + b"\0\0\0\0\0" + text))


def outcome(content: bytes) -> Picture | None:
    """What is read, whole; None where it is refused.  Any other exception is a failure."""
    try:
        picture = read(content)
    except InvalidValue as error:
        refused = error.as_problem()
        assert refused["status"] == 422
        assert [each["field"] for each in refused["errors"]] == ["image"]
        return None
    assert picture.levels.dtype == np.uint8
    assert picture.levels.ndim == 2
    assert 0 < max(picture.levels.shape) <= SIDE_MAX
    assert picture.facts is None or isinstance(picture.facts, dict)
    return picture


# Our own files


@settings(max_examples=30)
@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 2**53 - 1))
def test_our_lossless_files_are_read_whole(height: int, width: int, seed: int) -> None:
    levels, sample = noise(height, width, seed), SAMPLE._replace(seed=seed)
    for name in LOSSLESS:
        picture = read(file_of(name, levels, sample))
        assert np.array_equal(picture.levels, levels)
        assert picture.facts == sample.facts()
        assert not picture.lossy


def test_our_jpeg_is_read_as_pillow_decodes_it() -> None:
    content = file_of("jpeg", noise(48, 64))
    picture = read(content)
    assert np.array_equal(picture.levels, np.asarray(Image.open(io.BytesIO(content))))
    assert picture.facts == SAMPLE.facts()
    assert picture.lossy


@every
def test_facts_of_a_model_without_classes_and_of_a_name_that_is_no_text(name: str) -> None:
    for label in (None, "", "\udc80", "\0", "胸部"):
        sample = SAMPLE._replace(label=label)
        facts = read(file_of(name, noise(8, 8), sample)).facts
        assert facts is not None
        assert facts == sample.facts()


# Others' files


@pytest.mark.parametrize(
    ("image", "form", "options"),
    [
        (Image.fromarray(noise(8, 9)), "PNG", {}),
        (Image.fromarray(noise(8, 9)), "JPEG", {}),
        (Image.fromarray(noise(8, 9)), "WEBP", {"lossless": True}),
        (Image.new("RGBA", (9, 8), (10, 20, 30, 40)), "PNG", {}),
        (Image.new("LA", (9, 8), (10, 20)), "PNG", {}),
        (Image.new("P", (9, 8), 3), "PNG", {}),
        (Image.new("P", (9, 8), 3), "PNG", {"transparency": b"\0\1\2\3"}),
        (Image.new("1", (9, 8), 1), "PNG", {}),
        (Image.new("I;16", (9, 8), 40000), "PNG", {}),
        (Image.new("CMYK", (9, 8), (1, 2, 3, 4)), "JPEG", {}),
        (Image.new("RGB", (9, 8), (1, 2, 3)), "JPEG", {"progressive": True}),
        (Image.new("RGBA", (9, 8), (10, 20, 30, 40)), "WEBP", {}),
    ],
)
def test_a_picture_without_our_text_has_no_facts(
    image: Image.Image, form: str, options: dict[str, Any]
) -> None:
    picture = outcome(saved(image, form, **options))
    assert picture is not None
    assert picture.levels.shape == (8, 9)
    assert picture.facts is None
    assert picture.lossy == (form == "JPEG")


def test_a_grey_png_of_others_is_read_as_it_is() -> None:
    levels = noise(30, 40)
    assert np.array_equal(read(saved(Image.fromarray(levels), "PNG")).levels, levels)


def test_a_jpeg_of_several_pictures_is_lossy_too() -> None:
    """Cameras and telephones write them; Pillow calls the format MPO."""
    images = [Image.new("L", (8, 8), grey) for grey in (100, 200)]
    picture = outcome(saved(images[0], "MPO", save_all=True, append_images=images[1:]))
    assert picture is None or picture.lossy


@forgiving
@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"tRNS", b"\0")],
        [(b"tRNS", b"\0\1")],
        [(b"PLTE", b"")],
        [(b"PLTE", bytes(3)), (b"tRNS", bytes(1))],
        [(b"PLTE", bytes(3)), (b"tRNS", bytes(4))],
        [(b"PLTE", bytes(900)), (b"tRNS", bytes(300))],
    ],
)
def test_a_strange_palette_is_read_or_refused(chunks: list[tuple[bytes, bytes]]) -> None:
    outcome(png_of(*chunks, colours=3))


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO", "PPM", "JPEG2000"])
def test_other_formats_are_refused(form: str) -> None:
    content = saved(Image.fromarray(noise(16, 16)), form)
    with pytest.raises(InvalidValue, match="no PNG, JPEG, WebP or DICOM"):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0", b"junk" * 100, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 ",
        bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\xff" * 100, b"%PDF-1.7", bytes(1000),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", png_of()[:33], png_of()[:40],
    ],
)  # fmt: skip
def test_junk_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidValue) as refused:
        read(content)
    assert refused.value.field == "image"


@pytest.mark.parametrize("size", [(5000, 4), (4, 5000), (SIDE_MAX + 1, 1)])
def test_a_picture_with_a_long_side_is_refused(size: tuple[int, int]) -> None:
    for form in ("PNG", "JPEG", "WEBP"):
        with pytest.raises(InvalidValue, match=f"{size[0]} x {size[1]} pixels"):
            read(saved(Image.new("L", size), form))


@every
def test_the_longest_side_is_read(name: str) -> None:
    assert read(file_of(name, noise(1, SIDE_MAX))).levels.shape == (1, SIDE_MAX)


@pytest.mark.parametrize("side", [(12_000, 12_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(side: tuple[int, int]) -> None:
    with pytest.raises(InvalidValue):
        read(png_of(side=side))


# Hostile provenance


@pytest.mark.parametrize(
    "text",
    [
        b"", b"null", b"1", b'"x"', b"[]", b'[{"seed": 1}]', b"{", b'{"seed": ', b"nan",
        b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b'{"seed": ' + b"9" * 5000 + b"}",
        b"\0", b"\xff\xfe", b'{"seed": 1}{"seed": 2}',
    ],
)  # fmt: skip
def test_a_png_whose_text_is_no_object_has_no_facts(text: bytes) -> None:
    picture = read(told(text))
    assert picture.facts is None
    assert not picture.levels.any()


@pytest.mark.parametrize(
    "facts", [{}, {"seed": [[]]}, {"synthetic": False}, {"label": "\ud800"}, {"a": {"b": {}}}]
)
def test_other_facts_are_told_as_they_are(facts: dict[str, Any]) -> None:
    text = json.dumps(facts).encode()
    assert read(told(text)).facts == facts
    assert read(told(text, b"another")).facts is None
    assert read(png_of((b"tEXt", b"synthorax\0" + text))).facts == facts
    assert read(png_of((b"zTXt", b"synthorax\0\0" + zlib.compress(text)))).facts == facts


def test_text_after_the_pixels_counts_too() -> None:
    content = png_of()
    text = chunk(b"tEXt", b'synthorax\0{"seed": 5}')
    assert read(content[:-12] + text + content[-12:]).facts == {"seed": 5}


def test_compressed_text_cannot_fill_the_memory() -> None:
    bomb = zlib.compress(b" " * 2**26)
    assert outcome(png_of((b"zTXt", b"synthorax\0\0" + bomb))) is None
    assert outcome(png_of((b"iTXt", b"synthorax\0\1\0\0\0" + bomb))) is None


@pytest.mark.parametrize("packet", [b"<", b"\xff" * 50, b" synthorax:facts='[1]'", b"[" * 60_000])
def test_a_hostile_xmp_packet_is_no_facts(packet: bytes) -> None:
    for form in ("JPEG", "WEBP"):
        assert read(saved(Image.new("L", (4, 4)), form, xmp=packet)).facts is None


# Damage

damages = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=12)
FILES = {name: file_of(name, noise(12, 10)) for name in NAMES}


@forgiving
@every
@settings(max_examples=200)
@given(changed=damages, cut=st.none() | st.integers(0, 10**6))
def test_a_damaged_file_is_read_or_refused(
    name: str, changed: list[tuple[int, int]], cut: int | None
) -> None:
    content = bytearray(FILES[name])
    for at, byte in changed:
        content[at % len(content)] = byte
    if cut is not None:
        del content[cut % len(content) :]
    outcome(bytes(content))


@every
def test_a_truncated_file_is_read_or_refused(name: str) -> None:
    content = FILES[name]
    for stop in range(0, len(content), 7):
        picture = outcome(content[:stop])
        assert picture is None or picture.levels.shape == (12, 10)
    assert outcome(content[: len(content) // 2]) is None


KINDS = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
    b"iTXt", b"tEXt", b"zTXt", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"tIME", b"eXIf", b"acTL",
    b"fcTL", b"fdAT", b"CgBI", b"cICP", b"junk",
]  # fmt: skip
contents = st.binary(max_size=40) | st.sampled_from(
    [bytes(4), bytes(8), bytes(26), b"synthorax\0\0\0\0\0{}", b"synthorax\0\1\0\0\0x", b"x\0\0x"]
)


def test_an_empty_profile_behind_the_pixels_is_refused() -> None:
    whole = png_of()
    end = whole.index(b"IEND") - 4
    assert outcome(whole[:end] + chunk(b"iCCP", b"") + whole[end:]) is None


@forgiving
@settings(max_examples=400)
@given(
    chunks=st.lists(st.tuples(st.sampled_from(KINDS), contents), max_size=4),
    side=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    colours=st.sampled_from([0, 2, 3, 4, 6]),
)
def test_any_chunks_with_right_checksums_are_read_or_refused(
    chunks: list[tuple[bytes, bytes]], side: tuple[int, int], colours: int
) -> None:
    outcome(png_of(*chunks, side=side, colours=colours))


@forgiving
@settings(max_examples=200)
@given(body=st.binary(max_size=200), start=st.sampled_from(NAMES))
def test_any_bytes_after_a_true_beginning_are_read_or_refused(body: bytes, start: str) -> None:
    beginning = FILES[start][: 132 if start == "dicom" else 20]
    outcome(beginning + body)


def test_nothing_of_a_damaged_dicom_is_told_to_the_log(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    whole = file_of("dicom", noise(8, 8))
    syntax = b"1.2.840.10008.1.2.1\0"
    damaged = whole.replace(syntax, b"JONES^ANN".ljust(len(syntax), b"!"), 1)
    assert damaged != whole
    with pytest.raises(InvalidValue):
        read(damaged)
    assert not caplog.records
    assert not recwarn.list
