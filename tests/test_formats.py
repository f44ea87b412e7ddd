"""JPEG, WebP and their XMP packet: read by Pillow and an XML parser; hostile packets refused."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.formats import pillow, xmp
from library.identity import Identity, Origin

ORIGIN = Origin("chest@3", "a1" * 32, "b2" * 32, "onnxruntime", "float32", 0.7)
SAMPLE = Identity(ORIGIN, "PNEUMONIA", 42)
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FACTS = f"{{{xmp.NAMESPACE}}}facts"

Encode = Callable[[NDArray[np.uint8], Sequence[Identity]], list[bytes]]
both = pytest.mark.parametrize("encode", [pillow.encode_jpeg, pillow.encode_webp])

# Bytes of a folder's name that are not UTF-8 reach us as lone low surrogates.
labels = st.none() | st.text(
    st.characters(exclude_categories=["Cs"])
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"])
    | st.sampled_from("\"'<>&\\;#\0\n\r\t\x7f\ufffe"),
    max_size=60,
)
samples = st.builds(
    lambda label, seed, truncation, model: Identity(
        dataclasses.replace(ORIGIN, truncation=truncation, model=model), label, seed
    ),
    labels,
    st.integers(0, 2**53 - 1),
    st.floats(0, 1, exclude_min=True),
    st.text(max_size=20),
)


def noise(n: int = 1, height: int = 16, width: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width), np.uint8)


def smooth(side: int = 64) -> NDArray[np.uint8]:
    rows, columns = np.indices((side, side)) / side
    image: NDArray[np.float64] = 127.5 + 127.5 * np.sin(4 * rows + 1) * np.cos(3 * columns)
    return image.astype(np.uint8)


def opened(content: bytes, form: str) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=[form])
    image.load()
    return image


def description(packet: str | bytes) -> dict[str, str]:
    """The attributes of the packet's one rdf:Description, as an XML parser sees them."""
    root = ET.fromstring(packet)  # noqa: S314 - written by us
    (element,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    return element.attrib


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99), flat=st.booleans()
)
def test_webp_holds_the_pixels_exactly(height: int, width: int, seed: int, flat: bool) -> None:
    image = noise(1, height, width, seed)[0]
    if flat:
        image[:] = seed
    found = opened(pillow.encode_webp(image[None], [SAMPLE])[0], "WEBP")
    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), np.repeat(image[:, :, None], 3, axis=2))
    assert np.array_equal(np.asarray(found.convert("L")), image)


def test_webp_holds_every_grey_level() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = opened(pillow.encode_webp(image[None], [SAMPLE])[0], "WEBP")
    assert np.array_equal(np.asarray(found.convert("L")), image)


@pytest.mark.parametrize(("image", "bound"), [(smooth(), 3), (noise(1, 64, 64)[0], 12)])
def test_jpeg_is_grey_and_close(image: NDArray[np.uint8], bound: int) -> None:
    found = opened(pillow.encode_jpeg(image[None], [SAMPLE])[0], "JPEG")
    assert found.mode == "L"
    assert found.size == image.shape[::-1]
    assert np.abs(np.asarray(found).astype(int) - image).max() <= bound


@both
@settings(max_examples=40, deadline=None)
@given(sample=samples)
def test_the_facts_are_read_back(encode: Encode, sample: Identity) -> None:
    packet = Image.open(io.BytesIO(encode(noise(), [sample])[0])).info["xmp"]
    assert xmp.facts(packet) == sample.facts()
    assert description(packet)[IPTC] == TRAINED


@both
def test_a_batch_holds_each_sample_as_it_is_alone(encode: Encode) -> None:
    images = noise(5, 20, 30)[:, ::2, ::-1].transpose(0, 2, 1)  # not contiguous
    identities = [SAMPLE._replace(seed=seed) for seed in range(5)]
    contents = encode(images, identities)
    assert len(contents) == 5
    for image, identity, content in zip(images, identities, contents, strict=True):
        assert content == encode(np.ascontiguousarray(image)[None], [identity])[0]
        assert xmp.facts(Image.open(io.BytesIO(content)).info["xmp"]) == identity.facts()
    assert encode(images[:0], []) == []
    with pytest.raises(ValueError, match="zip"):
        encode(images, identities[:4])


@both
def test_the_same_sample_is_the_same_bytes(encode: Encode) -> None:
    first = encode(noise(), [SAMPLE])
    assert encode(noise(), [Identity(dataclasses.replace(ORIGIN), "PNEUMONIA", 42)]) == first
    assert encode(noise(seed=1), [SAMPLE]) != first
    assert encode(noise(), [SAMPLE._replace(seed=43)]) != first


def test_facts_that_jpeg_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="XMP data is too long"):
        pillow.encode_jpeg(noise(), [SAMPLE._replace(label="x" * 65_536)])


def test_a_packet_without_facts_names_the_source() -> None:
    assert description(xmp.packet()) == {
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about": "",
        IPTC: TRAINED,
    }
    assert xmp.facts(xmp.packet()) is None


@settings(max_examples=200)
@given(sample=samples)
def test_an_xml_parser_and_we_read_the_same(sample: Identity) -> None:
    packet = xmp.packet(sample.facts())
    assert packet.isascii()
    assert json.loads(description(packet)[FACTS]) == sample.facts()
    assert xmp.facts(packet) == xmp.facts(packet.encode()) == sample.facts()


def test_facts_in_single_quotes_are_read() -> None:
    """As a tool that rewrites the packet may leave them."""
    assert xmp.facts("""<a synthorax:facts='{"label":"it&apos;s &lt;"}'/>""") == {"label": "it's <"}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        xmp.packet({"truncation": number})


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    """<x synthorax:facts='{"label":"&b;"}'/>"""
)


def test_entities_are_not_expanded() -> None:
    assert xmp.facts(BOMB) == {"label": "&b;"}


@pytest.mark.parametrize(
    "packet",
    [
        "",
        b"\xff\xfe",
        '<x synthorax:facts=""/>',
        '<x synthorax:facts="{"/>',
        '<x synthorax:facts="[1]"/>',
        '<x synthorax:facts="null"/>',
        "<x synthorax:facts={}/>",
        '<x other:facts="{}"/>',
        '<x notsynthorax:facts="{}"/>',
        '<x synthorax:facts="{}',
        f'<x synthorax:facts="{"[" * 100_000}"/>',
        f'<x synthorax:facts="{"9" * 5_000}"/>',
        f'<x synthorax:facts="{{&quot;seed&quot;:{"9" * 5_000}}}"/>',
        b'<x synthorax:facts="{}\xff"/>',
    ],
)
def test_a_malformed_packet_has_no_facts(packet: str | bytes) -> None:
    assert xmp.facts(packet) is None


@settings(max_examples=200)
@given(at=st.integers(0, 900), drop=st.integers(0, 40), new=st.text(max_size=8), cut=st.booleans())
def test_damaged_packets_are_read_or_refused(at: int, drop: int, new: str, cut: bool) -> None:
    packet = xmp.packet(SAMPLE.facts())
    damaged = packet[:at] + new + ("" if cut else packet[at + drop :])
    found = xmp.facts(damaged)
    assert found is None or isinstance(found, dict)
    if damaged == packet:
        assert found == SAMPLE.facts()


def test_pictures_need_no_pydicom() -> None:
    """It costs a cold start more than the rest of these modules together."""
    code = "import app.formats.pillow, sys; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
