"""Reading radiographs: windows, encodings of black, padding, stored bits, transfer syntaxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from library.images import load_grey, read_picture
from library.picture import Refused
from tests.dicoms import SIDE, dicom, ramp, saved

MOST = 4095


def levels_of(folder: Path, dataset: Dataset, window: Any = "file") -> NDArray[Any]:
    return read_picture(saved(folder / "x.dcm", dataset), window).levels


# Black and white


@settings(max_examples=60)
@given(
    center=st.integers(0, 2 * MOST).map(lambda c: c / 2),  # what binary numbers hold exactly
    width=st.integers(1, 2 * MOST),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", None]),
    seed=st.integers(0, 100),
)
def test_both_encodings_of_a_picture_give_equal_pixels(
    tmp_path_factory: pytest.TempPathFactory,
    center: float,
    width: int,
    function: str | None,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("both")
    pixels = np.random.default_rng(seed).integers(0, MOST + 1, (SIDE, SIDE)).astype(np.uint16)
    changes: dict[str, Any] = {} if function is None else {"VOILUTFunction": function}
    two = dicom(pixels, WindowCenter=center, WindowWidth=width, **changes)
    # C.11.2.1.2 has its middle at c - 0.5; mirrored, that lies at the other side of MOST.
    middle = MOST - center if function == "LINEAR_EXACT" else MOST - center + 1
    one = dicom(
        MOST - pixels,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=middle,
        WindowWidth=width,
        **changes,
    )
    assert np.array_equal(levels_of(folder, two), levels_of(folder, one))


@pytest.mark.parametrize("window", ["file", "range"])
def test_both_encodings_without_a_window_give_equal_pixels(window: str, tmp_path: Path) -> None:
    pixels = ramp()
    one = dicom(MOST - pixels, PhotometricInterpretation="MONOCHROME1")
    picture = read_picture(saved(tmp_path / "one.dcm", one), window)  # type: ignore[arg-type]
    assert picture.inverted
    assert np.array_equal(picture.levels, levels_of(tmp_path, dicom(pixels), window))
    assert picture.levels[0, 0] == 0
    assert picture.levels[-1, -1] == 65535


def test_both_encodings_of_eight_bits_give_equal_pixels(tmp_path: Path) -> None:
    pixels = (ramp() >> 4).astype(np.uint8)
    one = dicom(255 - pixels, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(levels_of(tmp_path, one), pixels)
    assert np.array_equal(levels_of(tmp_path, dicom(pixels)), pixels)


def test_a_window_is_black_below_and_white_above(tmp_path: Path) -> None:
    levels = levels_of(tmp_path, dicom(WindowCenter=[2000.5, 9], WindowWidth=[1001, 9]))
    pixels = ramp().astype(float)
    expected = np.clip((pixels - 1500) / 1000, 0, 1) * 65535
    assert np.abs(levels - expected).max() <= 0.5


def test_a_sigmoid_window_is_half_at_its_center(tmp_path: Path) -> None:
    pixels = np.full((SIDE, SIDE), 1000, np.uint16)
    pixels[0] = 3000
    made = dicom(pixels, WindowCenter=1000, WindowWidth=500, VOILUTFunction="SIGMOID")
    levels = levels_of(tmp_path, made)
    assert set(np.unique(levels[1:])) <= {32767, 32768}
    assert levels[0, 0] == 65535


def test_rescaled_values_meet_the_window(tmp_path: Path) -> None:
    made = dicom(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000.5, WindowWidth=2001)
    expected = np.clip((2 * ramp().astype(float) - 1000 - 2000) / 2000, 0, 1) * 65535
    assert np.abs(levels_of(tmp_path, made) - expected).max() <= 0.5


@pytest.mark.parametrize("inverted", [False, True])
def test_a_voi_lut_is_looked_up(inverted: bool, tmp_path: Path) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [4, 100, 8])
    item.add_new(0x00283006, "US", [0, 50, 200, 255])
    pixels = np.full((SIDE, SIDE), 100, np.uint16)
    pixels[0, :5] = [0, 101, 102, 103, 4000]
    kind = "MONOCHROME1" if inverted else "MONOCHROME2"
    made = dicom(pixels, VOILUTSequence=Sequence([item]), PhotometricInterpretation=kind)
    seen = levels_of(tmp_path, made)[0, :6] / 257
    expected = np.array([0, 50, 200, 255, 255, 0])
    assert np.array_equal(seen, 255 - expected if inverted else expected)


def test_signed_pixels_and_what_lies_above_the_stored_bits(tmp_path: Path) -> None:
    signed = ramp().astype(np.int16) - 2048
    assert np.array_equal(levels_of(tmp_path, dicom(signed)), levels_of(tmp_path, dicom()))
    overlaid = dicom()
    stored = ramp()
    stored[::2] |= 0xF000  # an overlay in the bits above the twelve
    overlaid.PixelData = stored.tobytes()
    assert np.array_equal(levels_of(tmp_path, overlaid), levels_of(tmp_path, dicom()))


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", ["file", "range"])
def test_padding_is_black_and_does_not_count(kind: str, window: str, tmp_path: Path) -> None:
    pixels = np.clip(ramp(), 1000, 3000)
    without = levels_of(tmp_path, dicom(pixels, PhotometricInterpretation=kind), window)
    padded = pixels.copy()
    padded[:3] = 0
    padded[3, :] = 7
    made = dicom(
        padded, PhotometricInterpretation=kind, PixelPaddingValue=0, PixelPaddingRangeLimit=7
    )
    levels = levels_of(tmp_path, made, window)
    assert not levels[:4].any()
    if window == "file":
        assert np.array_equal(levels[4:], without[4:])


def test_stored_shows_the_file_without_its_words(tmp_path: Path) -> None:
    made = dicom(
        MOST - ramp(), PhotometricInterpretation="MONOCHROME1", WindowCenter=10, WindowWidth=5
    )
    plain = levels_of(tmp_path, made, "stored")
    assert plain[0, 0] == 65535
    assert plain[-1, -1] == 0


def test_depth_is_kept_until_the_end(tmp_path: Path) -> None:
    # Two halves, less than one of 256 levels apart: their mean is seen only with all bits.
    pixels = np.zeros((SIDE, SIDE), np.uint16)
    pixels[:, ::2], pixels[0, 0], pixels[0, 1] = 8, MOST, 0
    path = saved(tmp_path / "x.dcm", dicom(pixels, WindowCenter=2048, WindowWidth=4096))
    shrunk = load_grey(path, SIDE // 2, "crop")[8:, 8:]
    early = np.asarray(read_picture(path).levels >> 8)
    assert early.max() > 0  # the pixel at MOST
    exact = np.rint(4 / MOST * 255)
    assert np.array_equal(np.unique(shrunk), [exact])


# What is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PixelData": None}, "without an image"),
        ({"PixelData": b""}, "are empty"),
        ({"Modality": "CT"}, "modality 'CT'"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"Rows": 65535, "Columns": 65535}, "more than is allowed"),
        ({"Rows": 0}, "no picture"),
        ({"Rows": None}, "lacks Rows"),
        ({"BitsStored": 40}, "stores 40 bits in 16"),
        ({"BitsAllocated": 12}, "stores 12 bits in 12"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "false colours"),
        ({"PhotometricInterpretation": "ODD"}, "cannot be decoded|interpretation 'ODD'"),
        ({"PixelData": b"12345678"}, "cannot be decoded"),
    ],
)
def test_what_is_no_single_radiograph_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "jones.dcm", dicom(**changes))
    with pytest.raises(Refused, match=words) as caught:
        read_picture(path)
    assert "jones" not in str(caught.value).lower()


# Transfer syntaxes

TYPES = gdcm.TransferSyntax
SYNTAXES = {
    "implicit": TYPES.ImplicitVRLittleEndian,
    "big endian": TYPES.ExplicitVRBigEndian,
    "RLE": TYPES.RLELossless,
    "JPEG lossless": TYPES.JPEGLosslessProcess14_1,
    "JPEG lossless 14": TYPES.JPEGLosslessProcess14,
    "JPEG-LS": TYPES.JPEGLSLossless,
    "JPEG 2000": TYPES.JPEG2000Lossless,
}


def transcoded(source: Path, target: Path, syntax: int) -> Path:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


@pytest.mark.parametrize("name", SYNTAXES)
def test_lossless_transfer_syntaxes_give_the_same_pixels(name: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, MOST + 1, (SIDE, SIDE)).astype(np.uint16)
    plain = saved(tmp_path / "plain.dcm", dicom(pixels, WindowCenter=2000, WindowWidth=3000))
    coded = transcoded(plain, tmp_path / "coded.dcm", SYNTAXES[name])
    assert np.array_equal(read_picture(coded).levels, read_picture(plain).levels)


@pytest.mark.parametrize("name", ["JPEGBaselineProcess1", "JPEG2000"])
def test_lossy_transfer_syntaxes_give_nearly_the_same_pixels(name: str, tmp_path: Path) -> None:
    pixels = (ramp() >> 4).astype(np.uint8)
    plain = saved(tmp_path / "plain.dcm", dicom(pixels))
    coded = transcoded(plain, tmp_path / "coded.dcm", getattr(TYPES, name))
    difference = read_picture(coded).levels.astype(int) - pixels
    assert np.abs(difference).max() <= 3
