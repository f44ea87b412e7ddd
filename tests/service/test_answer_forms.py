"""Every form of a sample has the same pixels; what each form may hold; caching."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.formats import dicom
from tests.service.alone import CLASSES, PLAIN, PUBLIC, Api

FORMATS = {"png": "png", "webp": "webp", "jpeg": "jpg", "dicom": "dcm"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("data"), tiny_models) as running:
        yield running
        assert running.stop() == 0


def pixels(content: bytes) -> NDArray[np.uint8]:
    if content[128:132] == b"DICM":
        return dicom.pixels(content)
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L"))


def in_json(api: Api, **body: Any) -> list[NDArray[np.uint8]]:
    return [pixels(base64.b64decode(image["png"])) for image in api.images(**body)]


@pytest.mark.parametrize(
    "media_type", ["image/png", "image/webp", "application/dicom", "image/jpeg"]
)
def test_one_file_has_the_pixels_of_the_json(api: Api, media_type: str) -> None:
    (expected,) = in_json(api, model=CLASSES, seed=5)
    answer = api.post(media_type, model=CLASSES, seed=5)
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Synthorax-Seed"] == "5"
    apart = np.abs(pixels(answer.content).astype(int) - expected)
    assert apart.max() <= (24 if media_type == "image/jpeg" else 0)
    assert api.post(media_type, model=CLASSES, seed=5).content == answer.content


def test_arrays_have_the_pixels_of_the_json(api: Api) -> None:
    body = {"model": CLASSES, "seed": 40, "count": 37, "truncation": 0.6}
    expected = np.stack(in_json(api, **body))
    images = api.images(**body)
    assert np.array_equal(
        np.load(io.BytesIO(api.post("application/x-npy", **body).content)), expected
    )
    arrays = np.load(io.BytesIO(api.post("application/x-npz", **body).content))
    assert np.array_equal(arrays["images"], expected)
    assert arrays["seeds"].tolist() == [image["seed"] for image in images]
    assert arrays["labels"].tolist() == [image["label"] for image in images]
    facts = json.loads(str(arrays["provenance"]))
    assert (facts["truncation"], facts["model"], facts["synthetic"]) == (0.6, CLASSES, True)


@pytest.mark.parametrize("name", FORMATS)
def test_an_archive_has_the_pixels_of_the_json(api: Api, name: str) -> None:
    body = {"model": CLASSES, "seed": 7, "count": 20}
    images = api.images(**body)
    content = api.post("application/zip", **body, format=name).content
    assert api.post("application/zip", **body, format=name).content == content
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert archive.read("CARD.md")
    rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
    lines = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    for image, row, line in zip(images, rows, lines, strict=True):
        assert row == {key: str(value) for key, value in line.items()}
        assert line["file"] == f"{image['label']}/{image['seed']}.{FORMATS[name]}"
        assert (line["label"], line["seed"]) == (image["label"], image["seed"])
        assert line["sha256"] == image["sha256"]
        if name != "jpeg":
            levels = pixels(archive.read(line["file"]))
            assert hashlib.sha256(levels.tobytes()).hexdigest() == line["sha256"]


def test_listed_samples_may_repeat_in_an_archive(api: Api) -> None:
    items = [{"seed": 3, "label": "NORMAL"}, {"seed": 4}, {"seed": 3, "label": "NORMAL"}]
    answer = api.post("application/zip", model=CLASSES, items=items)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    rows = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    assert [row["seed"] for row in rows] == [3, 4, 3]
    assert len({row["file"] for row in rows}) == 3
    assert archive.read(rows[0]["file"]) == archive.read(rows[2]["file"])


def test_a_large_archive_ends_with_the_last_seed(api: Api) -> None:
    first = 2**53 - 3000
    answer = api.post("application/zip", model=PLAIN, seed=first, count=3000)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert f"samples/{2**53 - 1}.png" in archive.namelist()
    beyond = api.post("application/zip", model=PLAIN, seed=first + 1, count=3000)
    assert beyond.status_code == 422
    assert beyond.json()["errors"][0]["field"] == "seed"


@pytest.mark.parametrize(
    ("accept", "body", "field", "remedy"),
    [
        ("application/json", {"count": 257}, "count", "application/zip"),
        ("image/png", {"count": 2}, "count", "application/json"),
        ("image/webp", {"items": [{"seed": 1}, {"seed": 2}]}, "items", "application/json"),
        ("application/x-npy", {"count": 4097}, "count", "application/zip"),
        ("application/zip", {"count": 100_001}, "count", "100000"),
        ("application/json", {"format": "dicom"}, "format", "application/zip"),
        ("application/zip", {"format": "gif"}, "format", "png"),
        ("text/html", {}, "Accept", "image/png"),
    ],
)
def test_what_a_form_cannot_hold(
    api: Api, accept: str, body: dict[str, Any], field: str, remedy: str
) -> None:
    answer = api.post(accept, model=PLAIN, **body)
    assert answer.status_code == (406 if field == "Accept" else 422)
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert remedy in error["allowed"]


def test_a_known_sample_is_not_computed_again(api: Api) -> None:
    answer = api.post("image/png", model=CLASSES, seed=77)
    address = answer.headers["Content-Location"]
    made = api.settled()
    known = api.http.get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    elsewhere = api.http.get(address.partition("&engine=")[0] + "&engine=other")
    assert elsewhere.status_code == 409
    assert api.settled() == made
    assert api.http.get(address).content == answer.content
    assert api.settled() == made + 1


def test_the_formats_of_a_sample_have_tags_of_their_own(api: Api) -> None:
    tags = {
        api.post(media_type, model=PLAIN, seed=1).headers["ETag"]
        for media_type in ("image/png", "image/webp", "image/jpeg", "application/dicom")
    }
    assert len(tags) == 4


def test_private_models_leave_no_copies_and_public_ones_are_immutable(api: Api) -> None:
    private = api.post("image/png", model=CLASSES, seed=1)
    public = api.post("image/png", model=PUBLIC, seed=1)
    assert private.headers["Cache-Control"] == "private, no-store"
    assert public.headers["Cache-Control"] == "no-cache"
    address = public.headers["Content-Location"]
    assert "immutable" in api.http.get(address).headers["Cache-Control"]
    assert api.http.get(address.partition("&")[0]).headers["Cache-Control"] == "no-cache"
    address = private.headers["Content-Location"]
    assert api.http.get(address).headers["Cache-Control"] == "private, no-store"
