"""One file as one grey picture: orientation, depth, which value is black, every kind of file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from library.augmentation import DRAWS, maps, moved
from library.config import Augmentation
from library.images import Mask, load_grey, read_picture, to_square
from library.picture import Refused

RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


@pytest.mark.parametrize(("kind", "suffix"), [("TIFF", "tif"), ("BMP", "bmp"), ("PNG", "png")])
def test_lossless_kinds_give_the_same_levels(kind: str, suffix: str, tmp_path: Path) -> None:
    levels = (RAMP % 256).astype(np.uint8)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(levels).save(path, kind)
    picture = read_picture(path)
    assert (picture.kind, picture.depth, picture.inverted) == (kind, 8, False)
    assert np.array_equal(picture.levels, levels)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"])
def test_packed_tiffs_of_sixteen_bits(compression: str | None, tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "x.tif", compression=compression)
    picture = read_picture(tmp_path / "x.tif")
    assert picture.depth == 16
    assert np.array_equal(picture.levels, RAMP)


def test_a_tiff_of_twelve_bits_reaches_from_black_to_white(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 64 * 64).round().astype(int)
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(64 * 64 * 3 // 2, "big")
    tags = [(256, 64), (257, 64), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 64)]
    entries = [*tags, (279, len(packed))]
    folder = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(packed)) + packed
    path = tmp_path / "x.tif"
    path.write_bytes(start + struct.pack("<H", len(entries)) + folder + bytes(4))
    picture = read_picture(path)
    assert picture.depth == 12
    assert np.array_equal(picture.levels.ravel(), np.rint(values * (65535 / 4095)))


def test_webp_is_read(tmp_path: Path) -> None:
    levels = (RAMP % 200).astype(np.uint8)
    Image.fromarray(levels).convert("RGB").save(tmp_path / "x.webp", lossless=True)
    assert np.array_equal(read_picture(tmp_path / "x.webp").levels, levels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    upright = (RAMP % 256).astype(np.uint8)
    turn = {
        1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud,
        5: lambda x: x.T, 6: lambda x: np.rot90(x, 1), 7: lambda x: np.rot90(x, 2).T,
        8: lambda x: np.rot90(x, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turn(upright))
    Image.fromarray(stored).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "x.png").levels, upright)
    assert np.array_equal(read_picture(tmp_path / "x.png", "stored").levels, stored)


@pytest.mark.parametrize("deep", [False, True])
def test_white_is_zero(deep: bool, tmp_path: Path) -> None:
    levels = RAMP * 20 if deep else (RAMP % 256).astype(np.uint8)
    most = 65535 if deep else 255
    path = tmp_path / "x.tif"
    Image.fromarray(most - levels if deep else levels).save(path, tiffinfo={262: 0})
    picture = read_picture(path)
    assert picture.inverted == deep  # Pillow turns 8 bits by itself, writing and reading
    assert np.array_equal(picture.levels, levels)


def test_real_numbers_go_from_least_to_most(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(-3, 5, 64 * 48, dtype=np.float32).reshape(64, 48)).save(
        tmp_path / "x.tif"
    )
    levels = read_picture(tmp_path / "x.tif").levels
    assert levels.dtype == np.uint16
    assert (levels.min(), levels.max()) == (0, 65535)
    assert (np.diff(levels.ravel().astype(int)) >= 0).all()


def test_a_range_stretches_what_is_dark(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png").levels.max() == RAMP.max()
    stretched = read_picture(tmp_path / "x.png", "range").levels
    assert (stretched.min(), stretched.max()) == (0, 65535)


def test_colour_is_measured(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (200, 100, 100)).save(tmp_path / "x.png")
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "y.png")
    assert read_picture(tmp_path / "x.png").colour == 100
    assert read_picture(tmp_path / "y.png").colour == 0


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 255),
    st.sampled_from(["crop", "pad", "stretch"]),
)
def test_eight_and_sixteen_bits_of_one_grey_are_one(
    height: int, width: int, level: int, fit: str
) -> None:
    eight = np.full((height, width), level, np.uint8)
    deep = eight.astype(np.uint16) * 257
    one = to_square(Image.fromarray(eight), 16, fit)  # type: ignore[arg-type]
    other = to_square(deep, 16, fit)  # type: ignore[arg-type]
    assert np.abs(one.astype(int) - other).max() <= 1


def test_depth_decides_where_eight_bits_would_be_flat() -> None:
    # Sixteen levels of 65,535: all black in 8 bits, but their mean rounds up.
    deep: NDArray[np.uint16] = np.zeros((64, 64), np.uint16)
    deep[::2] = 300
    assert to_square(deep, 32, "crop").max() == 1
    assert to_square(Image.fromarray((deep >> 8).astype(np.uint8)), 32, "crop").max() <= 1
    deep[::2] = 255
    assert to_square(Image.fromarray((deep >> 8).astype(np.uint8)), 32, "crop").max() == 0
    deep[:] = 129
    assert to_square(deep, 32, "crop").min() == 1  # 129/257 rounds up


def test_masks(tmp_path: Path) -> None:
    white = np.full((50, 100), 255, np.uint8)
    masked = to_square(Image.fromarray(white), 100, "stretch", Mask(border=0.05, corner=0.2))
    assert not masked[:5].any()
    assert not masked[-5:].any()
    assert not masked[:20, :20].any()
    assert not masked[-20:, -20:].any()
    assert masked[20:-20, 5:-5].all()
    assert masked[5:20, 20:-20].all()
    Image.fromarray(white).save(tmp_path / "x.png")
    found = load_grey(tmp_path / "x.png", 100, "stretch", mask=Mask(0.05, 0.2))
    assert np.array_equal(found, masked)


def test_too_large_a_file_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("library.images.FILE_MAX", 1000)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(
        tmp_path / "x.png"
    )
    with pytest.raises(Refused, match="bytes are more than is allowed"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize(
    "rule",
    [
        Augmentation(rotation=30),
        Augmentation(crop=0.3),
        Augmentation(scale=0.2),
        Augmentation(flip=True),
        Augmentation(rotation=20, crop=0.1, scale=0.1, flip=True),
    ],
)
def test_the_preview_moves_pictures_as_training_does(rule: Augmentation) -> None:
    import torch

    from training.augment import augment

    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(0, 256, (10, 10), dtype=np.uint8))
    levels = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC))
    found = maps(rule, random.random((1, DRAWS)))
    preview = moved(levels, found[0]).astype(float)
    tensor = torch.from_numpy(levels.copy())[None, None].float() / 127.5 - 1
    trained = (augment(tensor, torch.from_numpy(found))[0, 0].numpy() + 1) * 127.5
    inside = (preview[2:-2, 2:-2] > 0) & (trained[2:-2, 2:-2] > 1)  # edges blend with black
    difference = np.abs(preview - trained)[2:-2, 2:-2][inside]
    assert np.quantile(difference, 0.99) <= 2
    assert difference.mean() < 1
