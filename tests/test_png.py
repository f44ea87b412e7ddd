"""The service's own PNG writer, read by Pillow."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from app.formats.png import KEYWORD, encode
from library.identity import Identity, Origin

ORIGIN = Origin("chest@1", "a" * 64, "b" * 64, "onnxruntime", "float32", 1.0)
texts = st.text(st.characters(codec="utf-8"), max_size=30)


def one(pixels: NDArray[np.uint8], label: str | None = None, seed: int = 42) -> bytes:
    (content,) = encode(pixels[None], [Identity(ORIGIN, label, seed)])
    return content


def opened(content: bytes) -> PngImagePlugin.PngImageFile:
    image = Image.open(io.BytesIO(content), formats=["PNG"])
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    return image


@settings(max_examples=60)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
    flat=st.booleans(),
)
def test_pillow_reads_the_pixels_that_were_written(
    height: int, width: int, count: int, seed: int, flat: bool
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, height, width), np.uint8)
    if flat:
        pixels[:] = seed
    files = encode(pixels, [Identity(ORIGIN, None, i) for i in range(count)])
    for levels, content in zip(pixels, files, strict=True):
        Image.open(io.BytesIO(content)).verify()  # checksums of all chunks
        image = opened(content)
        assert image.mode == "L"
        assert image.size == (width, height)
        assert np.array_equal(np.asarray(image), levels)


@pytest.mark.parametrize("side", [64, 512])
def test_a_picture_of_a_model_s_size_is_read(side: int) -> None:
    rows, columns = np.indices((side, side))
    pixels = ((rows * 3 + columns * 5) % 256).astype(np.uint8)
    assert np.array_equal(np.asarray(opened(one(pixels))), pixels)


def test_rows_that_are_not_contiguous_are_read() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    assert np.array_equal(np.asarray(opened(one(pixels.T))), pixels.T)
    assert np.array_equal(np.asarray(opened(one(pixels[::2, ::3]))), pixels[::2, ::3])


@settings(max_examples=60)
@given(
    label=st.none() | texts | st.sampled_from(['"seed": 0', '", "seed": 0, "', "seed"]),
    model=texts,
    seed=st.integers(0, 2**53 - 1),
    truncation=st.floats(0, 1, exclude_min=True),
)
def test_pillow_reads_the_facts(
    label: str | None, model: str, seed: int, truncation: float
) -> None:
    origin = Origin(model, "a" * 64, "b" * 64, "torch", "bfloat16", truncation)
    identity = Identity(origin, label, seed)
    (content,) = encode(np.zeros((1, 2, 2), np.uint8), [identity])
    assert json.loads(opened(content).text[KEYWORD]) == identity.facts()


def test_the_image_says_that_it_is_synthetic() -> None:
    text: dict[str, Any] = opened(one(np.zeros((2, 2), np.uint8))).text
    assert text["Software"] == "Synthorax"
    assert "not for diagnosis" in text["Comment"]
    assert "digitalsourcetype/trainedAlgorithmicMedia" in text["XML:com.adobe.xmp"]
    assert json.loads(text["synthorax"])["synthetic"] is True


def test_the_same_image_is_the_same_bytes() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    assert one(pixels) == one(pixels.copy())
    assert one(pixels, seed=1) != one(pixels, seed=2)


def test_alone_or_among_others_the_same_bytes() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (9, 16, 16), np.uint8)
    identities = [Identity(ORIGIN, f"class {i % 3}", i) for i in range(9)]
    together = encode(pixels, identities)
    for levels, identity, content in zip(pixels, identities, together, strict=True):
        assert encode(levels[None], [identity]) == [content]
