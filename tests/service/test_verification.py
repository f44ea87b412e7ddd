"""POST /verify: exact, within rounding of another engine, or unknown."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.formats import dicom, png
from app.formats.pillow import encode_jpeg, encode_webp
from library.identity import Identity, Origin
from tests.service.alone import CLASSES, PLAIN, Api

MEDIA_TYPES = ("image/png", "image/webp", "image/jpeg", "application/dicom")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("data"), tiny_models) as running:
        yield running


def verified(api: Api, content: bytes, media_type: str = "image/png") -> dict[str, Any]:
    headers = {"Content-Type": media_type}
    answer = api.http.post("/verify", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def claimed(api: Api, content: bytes, **claim: Any) -> dict[str, Any]:
    body = {"image": base64.b64encode(content).decode(), **claim}
    answer = api.http.post("/verify", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sample(api: Api, seed: int = 9) -> tuple[NDArray[np.uint8], Identity]:
    """The pixels and the identity of a sample, as its PNG tells them."""
    with Image.open(io.BytesIO(api.post("image/png", model=CLASSES, seed=seed).content)) as image:
        facts = json.loads(image.info["synthorax"])
        levels = np.asarray(image).copy()
    names = ("model", "version_digest", "engine_digest", "backend", "precision", "truncation")
    return levels, Identity(Origin(*(facts[n] for n in names)), facts["label"], facts["seed"])


def as_png(levels: NDArray[np.uint8], identity: Identity, **changes: Any) -> bytes:
    changed = Identity(replace(identity.origin, **changes), identity.label, identity.seed)
    return png.encode(levels[None], [changed])[0]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_a_file_of_the_service_is_exact(api: Api, media_type: str) -> None:
    content = api.post(media_type, model=CLASSES, seed=3, truncation=0.8).content
    for found in (verified(api, content, media_type), claimed(api, content)):
        assert (found["verdict"], found["source"]) == ("exact", "file")
        assert found["sample"]["seed"] == 3
        assert found["sample"]["truncation"] == 0.8
        assert found["sample"]["model"] == CLASSES
        assert found["sample"]["label"] in ("NORMAL", "PNEUMONIA")
        assert found["difference"] == {"pixels": 0, "largest": 0}
        assert found["engine"]["named"] == found["engine"]["here"]


def test_without_its_words_a_picture_needs_a_claim(api: Api) -> None:
    levels, identity = sample(api)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    stripped = buffer.getvalue()
    assert verified(api, stripped)["verdict"] == "unknown"
    found = claimed(api, stripped, model=CLASSES, seed=identity.seed)
    assert (found["verdict"], found["source"]) == ("exact", "request")
    assert found["sample"]["label"] == identity.label  # drawn from the seed
    named = claimed(api, stripped, model=CLASSES, seed=identity.seed, label=identity.label)
    assert named["verdict"] == "exact"
    assert claimed(api, stripped, model=CLASSES, seed=identity.seed + 1)["verdict"] == "unknown"
    assert claimed(api, stripped, model=PLAIN, seed=identity.seed)["verdict"] == "unknown"


def test_a_changed_pixel_is_found(api: Api) -> None:
    levels, identity = sample(api)
    levels[10, 20] ^= 1
    found = verified(api, as_png(levels, identity))
    assert found["verdict"] == "unknown"
    assert found["difference"]["pixels"] == 1


def test_another_engine_may_round_otherwise(api: Api) -> None:
    levels, identity = sample(api)
    engine = {"engine_digest": "f" * 64}
    assert verified(api, as_png(levels, identity, **engine))["verdict"] == "exact"
    levels[10, 20] ^= 1
    assert verified(api, as_png(levels, identity, **engine))["verdict"] == "rounding"
    levels[10, 20] ^= 64
    assert verified(api, as_png(levels, identity, **engine))["verdict"] == "unknown"
    levels, identity = sample(api)
    levels[::3] += np.where(levels[::3] < 250, 3, 0).astype(np.uint8)
    assert verified(api, as_png(levels, identity, **engine))["verdict"] == "unknown"
    half = as_png(levels, identity, **engine, precision="bfloat16")
    assert verified(api, half)["verdict"] == "rounding"


def test_what_a_file_says_is_only_a_claim(api: Api) -> None:
    levels, identity = sample(api)
    other = identity._replace(seed=identity.seed + 1)
    assert verified(api, as_png(levels, other))["verdict"] == "unknown"
    gone = verified(api, as_png(levels, identity, version_digest="0" * 64))
    assert (gone["verdict"], gone["sample"]) == ("unknown", None)
    label = verified(api, as_png(levels, identity._replace(label="COVID")))
    assert label["verdict"] == "unknown"
    assert "COVID" in label["detail"]
    assert verified(api, as_png(levels, identity, truncation=7.0))["verdict"] == "unknown"
    assert verified(api, as_png(levels[:32], identity))["verdict"] == "unknown"


def test_lossless_formats_are_compared_pixel_by_pixel(api: Api) -> None:
    levels, identity = sample(api)
    levels[0, 0] ^= 1
    (webp,) = encode_webp(levels[None], [identity])
    (dcm,) = dicom.encode(levels[None], [identity])
    assert verified(api, webp, "image/webp")["verdict"] == "unknown"
    assert verified(api, dcm, "application/dicom")["verdict"] == "unknown"
    (jpeg,) = encode_jpeg(255 - levels[None], [identity])
    assert verified(api, jpeg, "image/jpeg")["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"image": "####"}, "image"),
        ({"image": base64.b64encode(b"no picture").decode()}, "image"),
        ({"image": ""}, "image"),
        ({"image": "AAAA", "model": PLAIN}, "seed"),
        ({"image": "AAAA", "seed": -1}, "seed"),
        ({"image": "AAAA", "seed": 1, "colour": 1}, "colour"),
        ({}, "image"),
    ],
)
def test_wrong_requests_name_the_field(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.http.post("/verify", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_claim_names_what_is_here(api: Api) -> None:
    levels, identity = sample(api)
    image = base64.b64encode(as_png(levels, identity)).decode()
    missing = api.http.post("/verify", json={"image": image, "seed": 1, "model": "nobody"})
    assert missing.status_code == 404
    label = {"image": image, "seed": 1, "model": CLASSES, "label": "COVID"}
    answer = api.http.post("/verify", json=label)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "label")


def test_bodies_of_another_kind_or_size_are_refused(api: Api) -> None:
    plain = {"Content-Type": "text/plain"}
    assert api.http.post("/verify", content=b"x", headers=plain).status_code == 415
    large = b"\x89PNG" + bytes(33 * 2**20)
    answer = api.http.post("/verify", content=large, headers={"Content-Type": "image/png"})
    assert answer.status_code == 413
