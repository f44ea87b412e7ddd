"""The one image loader, quantisation and the mosaic."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from library.images import Fit, grid, load_grey, to_uint8
from library.picture import PIXELS_MAX, Refused

REAL = Path(__file__).parent / "data" / "chest_xray"
FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(path: Path, image: Image.Image, format: str = "PNG") -> Path:
    image.save(path, format)
    return path


def png_of_size(width: int, height: int) -> bytes:
    """A grey PNG whose header claims this size; its few pixels do not matter."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(bytes(64))),
            chunk(b"IEND", b""),
        )
    )


# Modes


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_the_same_greys_in_any_mode_are_the_same_array(mode: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.fromarray(RAMP).convert(mode))
    assert np.array_equal(load_grey(path, 16, "crop"), RAMP)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opacity_does_not_change_a_grey(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(RAMP).convert(mode)
    image.putalpha(Image.fromarray(RAMP.T.copy()))
    assert np.array_equal(load_grey(saved(tmp_path / "x.png", image), 16, "crop"), RAMP)


@pytest.mark.parametrize("transparency", [None, 7, bytes(range(256))])
def test_a_palette_is_looked_up(transparency: int | bytes | None, tmp_path: Path) -> None:
    indices = Image.fromarray(RAMP).convert("P")
    indices.putpalette(bytes(255 - i for i in range(256) for _ in range(3)))
    if transparency is not None:
        indices.info["transparency"] = transparency
    path = saved(tmp_path / "x.png", indices)
    with Image.open(path) as written:
        assert written.mode == "P"
        assert written.info.get("transparency") == transparency
    assert np.array_equal(load_grey(path, 16, "crop"), 255 - RAMP)


def test_sixteen_bits_are_rounded_once(tmp_path: Path) -> None:
    low = np.random.default_rng(0).integers(0, 256, RAMP.shape).astype(np.uint16)
    path = saved(tmp_path / "x.png", Image.fromarray(RAMP.astype(np.uint16) * 256 + low))
    with Image.open(path) as written:
        assert written.mode == "I;16"
    exact = (RAMP.astype(float) * 256 + low) / 257
    assert np.array_equal(load_grey(path, 16, "crop"), np.rint(exact))


def test_colours_become_luma(tmp_path: Path) -> None:
    colours = Image.new("RGB", (3, 3), (200, 100, 50))
    level = load_grey(saved(tmp_path / "x.png", colours), 3, "crop")
    assert np.unique(level).tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


def test_a_real_jpeg_is_its_own_pixels_at_its_own_size() -> None:
    path = sorted((REAL / "NORMAL").iterdir())[0]
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L"))
    assert np.array_equal(load_grey(path, 96, "crop"), expected)


def test_a_cmyk_jpeg_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", Image.new("CMYK", (20, 20), (0, 0, 0, 55)), "JPEG")
    assert np.abs(load_grey(path, 8, "crop").astype(int) - 200).max() <= 3


# Fits

WIDE = np.concatenate([np.full((8, 8), 10), np.full((8, 8), 90), np.full((8, 8), 170)], axis=1)


@pytest.mark.parametrize("turned", [False, True])
def test_the_fits_of_an_oblong(turned: bool, tmp_path: Path) -> None:
    picture = (WIDE.T if turned else WIDE).astype(np.uint8)
    path = saved(tmp_path / "x.png", Image.fromarray(picture))

    def upright(fit: Fit, resolution: int) -> NDArray[np.uint8]:
        levels = load_grey(path, resolution, fit)
        assert levels.shape == (resolution, resolution)
        assert levels.dtype == np.uint8
        return levels.T if turned else levels

    assert np.array_equal(upright("crop", 8), np.full((8, 8), 90))
    padded = upright("pad", 24)
    assert np.array_equal(padded[8:16], WIDE)
    assert not padded[:8].any()
    assert not padded[16:].any()
    stretched = upright("stretch", 24)
    assert np.array_equal(stretched, np.repeat(WIDE, 3, axis=0))


@pytest.mark.parametrize("fit", FITS)
def test_one_pixel_fills_the_picture(fit: Fit, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("L", (1, 1), 77))
    assert np.array_equal(load_grey(path, 64, fit), np.full((64, 64), 77))


@settings(max_examples=40)
@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    level=st.integers(0, 255),
    fit=st.sampled_from(["crop", "stretch"]),
    resolution=st.sampled_from([1, 7, 64]),
)
def test_an_even_picture_stays_even_when_nothing_is_padded(
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    height: int,
    level: int,
    fit: Fit,
    resolution: int,
) -> None:
    path = tmp_path_factory.mktemp("even") / "x.png"
    saved(path, Image.new("L", (width, height), level))
    levels = load_grey(path, resolution, fit)
    assert levels.shape == (resolution, resolution)
    assert np.array_equal(levels, np.full_like(levels, level))


# Refused


def test_a_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    whole = sorted((REAL / "PNEUMONIA").iterdir())[0].read_bytes()
    path = tmp_path / "patient-jones.jpeg"
    for kept in (len(whole) // 2, len(whole) - 40, 300, 3):
        path.write_bytes(whole[:kept])
        with pytest.raises(Refused) as refusal:
            load_grey(path, 64, "crop")
        assert "jones" not in str(refusal.value)


def test_text_with_the_name_of_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("a report, not a picture")
    with pytest.raises(Refused, match="is not an image of a kind"):
        load_grey(path, 64, "crop")


def test_another_format_is_refused_under_any_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.fromarray(RAMP), "GIF")
    with pytest.raises(Refused, match="is a GIF, which is not read"):
        load_grey(path, 64, "crop")


@pytest.mark.parametrize(
    ("width", "height"), [(8192, 8193), (10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    width: int, height: int, tmp_path: Path
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png_of_size(width, height))
    with pytest.raises(Refused, match="than is allowed"):
        load_grey(path, 64, "crop")


def test_a_long_line_is_not_padded_to_a_square_beyond_the_bound(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("L", (65_535, 1), 9))
    assert 65_535**2 > PIXELS_MAX > 65_535
    with pytest.raises(Refused, match="too long to be padded"):
        load_grey(path, 64, "pad")
    assert np.array_equal(load_grey(path, 4, "stretch"), np.full((4, 4), 9))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_an_empty_or_headless_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(Refused):
        load_grey(path, 64, "crop")


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file") as refusal:
        load_grey(tmp_path / "patient-jones.png", 64, "crop")
    assert "jones" not in str(refusal.value)


def encoded(format: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).convert(mode).save(buffer, format)
    return buffer.getvalue()


SOUND = [encoded("PNG", mode) for mode in ("L", "RGB", "RGBA", "P", "1")]
SOUND += [encoded("JPEG", mode) for mode in ("L", "RGB")]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of what is odd but readable
@settings(max_examples=150)
@given(
    sound=st.sampled_from(SOUND),
    cut=st.floats(0.5, 2),
    hits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), max_size=4),
    fit=st.sampled_from(FITS),
)
def test_damage_gives_an_array_or_a_refusal_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    sound: bytes,
    cut: float,
    hits: list[tuple[float, bytes]],
    fit: Fit,
) -> None:
    content = bytearray(sound)
    for place, patch in hits:
        at = int(place * len(content))
        content[at : at + len(patch)] = patch
    path = tmp_path_factory.mktemp("damage") / "x.png"
    path.write_bytes(content[: int(cut * len(content))])
    try:
        levels = load_grey(path, 8, fit)
    except Refused:
        return
    assert levels.shape == (8, 8)
    assert levels.dtype == np.uint8


# to_uint8

signals = st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50)


def test_every_grey_level_survives_the_way_there_and_back() -> None:
    levels = np.arange(256)
    signal = (levels.astype(np.float32) / np.float32(127.5)) - np.float32(1)
    assert np.array_equal(to_uint8(signal), levels)


@given(signals)
def test_quantisation_rounds_to_the_nearest_level_and_clips(values: list[float]) -> None:
    levels = to_uint8(np.array(values, np.float32))
    assert levels.dtype == np.uint8
    exact = np.clip((np.array(values) + 1) * 127.5, 0, 255)
    assert np.abs(levels - exact).max() <= 0.5 + 1e-4


@given(signals)
def test_quantisation_never_turns_brighter_into_darker(values: list[float]) -> None:
    ordered = to_uint8(np.sort(np.array(values, np.float32)))
    assert (np.diff(ordered.astype(int)) >= 0).all()


def test_halves_are_rounded_to_even() -> None:
    # Signals that fall exactly on k + 1/2 are rare among the float32 numbers: looked for here.
    near = ((np.arange(255) + 0.5) / 127.5 - 1).astype(np.float32)
    signals = near[:, None] + np.arange(-8, 9, dtype=np.float32) * np.float32(2**-25)
    scaled = (signals + np.float32(1)) * np.float32(127.5)
    halves = scaled % 1 == 0.5
    below = np.floor(scaled[halves]).astype(int)
    assert {k % 2 for k in below.tolist()} == {0, 1}
    assert np.array_equal(to_uint8(signals[halves]), below + below % 2)


# The mosaic


@given(
    count=st.integers(1, 12),
    columns=st.integers(1, 5),
    gap=st.integers(0, 3),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_every_image_lies_at_its_place_and_the_rest_is_black(
    count: int, columns: int, gap: int, height: int, width: int
) -> None:
    images = np.random.default_rng(count).integers(1, 256, (count, height, width), np.uint8)
    mosaic = grid(images, columns, gap)
    rows = -(-count // columns)
    assert mosaic.shape == (rows * (height + gap) - gap, columns * (width + gap) - gap)
    rest = mosaic.copy()
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        place = np.s_[row * (height + gap) :, column * (width + gap) :]
        assert np.array_equal(mosaic[place][:height, :width], image)
        rest[place][:height, :width] = 0
    assert not rest.any()
