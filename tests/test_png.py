"""The service's own PNG writer, read by Pillow."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.png import KEYWORD, encode


def opened(content: bytes) -> PngImagePlugin.PngImageFile:
    image = Image.open(io.BytesIO(content), formats=["PNG"])
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    return image


@settings(max_examples=60)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99), flat=st.booleans()
)
def test_pillow_reads_the_pixels_that_were_written(
    height: int, width: int, seed: int, flat: bool
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    if flat:
        pixels[:] = seed
    content = encode(pixels, {})
    Image.open(io.BytesIO(content)).verify()  # checksums of all chunks
    image = opened(content)
    assert image.mode == "L"
    assert image.size == (width, height)
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("side", [64, 512])
def test_a_picture_of_a_model_s_size_is_read(side: int) -> None:
    rows, columns = np.indices((side, side))
    pixels = ((rows * 3 + columns * 5) % 256).astype(np.uint8)
    assert np.array_equal(np.asarray(opened(encode(pixels, {}))), pixels)


def test_rows_that_are_not_contiguous_are_read() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    assert np.array_equal(np.asarray(opened(encode(pixels.T, {}))), pixels.T)
    assert np.array_equal(np.asarray(opened(encode(pixels[::2, ::3], {}))), pixels[::2, ::3])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40)
@given(
    provenance=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=9), values, max_size=5
    )
)
def test_pillow_reads_the_provenance(provenance: dict[str, Any]) -> None:
    text = opened(encode(np.zeros((2, 2), np.uint8), provenance)).text
    assert json.loads(text[KEYWORD]) == provenance


def test_the_image_says_that_it_is_synthetic() -> None:
    text = opened(encode(np.zeros((2, 2), np.uint8), {"seed": 42})).text
    assert text["Software"] == "Synthorax"
    assert "not for diagnosis" in text["Comment"]
    assert "digitalsourcetype/trainedAlgorithmicMedia" in text["XML:com.adobe.xmp"]
    assert json.loads(text["synthorax"]) == {"seed": 42}


def test_the_same_image_is_the_same_bytes() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    assert encode(pixels, {"seed": 1}) == encode(pixels.copy(), {"seed": 1})
    assert encode(pixels, {"seed": 1}) != encode(pixels, {"seed": 2})
