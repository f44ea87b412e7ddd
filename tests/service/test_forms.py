"""The same samples in every form, what each form may hold, and how answers are cached."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.service.api import (
    BUNDLED,
    CLASSES,
    LABELS,
    PLAIN,
    Api,
    Levels,
    file_of,
    pixels,
    serving,
)

SEED_MAX = 2**53 - 1
# By `format` in a ZIP: media type, suffix, and by how many grey levels a pixel may differ.
FORMATS = {
    "png": ("image/png", "png", 0),
    "webp": ("image/webp", "webp", 0),
    "jpeg": ("image/jpeg", "jpg", 16),
    "dicom": ("application/dicom", "dcm", 0),
}
ASKED: list[dict[str, Any]] = [
    {"model": PLAIN, "seed": 42},
    {"model": CLASSES, "seed": 43, "label": "NORMAL"},
    {"model": CLASSES, "seed": 44, "truncation": 0.5},
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("data"), tiny_models) as running:
        yield running


def decoded(file: bytes, name: str) -> Levels:
    if name != "dicom":
        return pixels(file)
    levels: Levels = pydicom.dcmread(io.BytesIO(file)).pixel_array
    return levels


def apart(one: Levels, other: Levels) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def opened(content: bytes) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    return archive


def rows_of(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", FORMATS)
def test_one_file_has_the_pixels_of_json(api: Api, asked: dict[str, Any], name: str) -> None:
    media_type, suffix, levels = FORMATS[name]
    (image,) = api.images(**asked)
    answer = api.generate(media_type, **asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Content-Disposition"].endswith(f'-{asked["seed"]}.{suffix}"')
    assert apart(decoded(answer.content, name), pixels(file_of(image))) <= levels
    assert answer.headers["Synthorax-Seed"] == str(image["seed"])
    assert answer.headers.get("Synthorax-Label") == image["label"]


@pytest.mark.parametrize("name", FORMATS)
def test_zip_of_each_format(api: Api, name: str) -> None:
    _, suffix, levels = FORMATS[name]
    asked = {"model": CLASSES, "seed": 100, "count": 20, "truncation": 0.7}
    images = api.images(**asked)
    answer = api.generate("application/zip", **asked, format=name)
    assert answer.headers["Content-Type"] == "application/zip"
    archive = opened(answer.content)
    rows = rows_of(archive)
    assert [(r["seed"], r["label"], r["sha256"]) for r in rows] == [
        (i["seed"], i["label"], i["sha256"]) for i in images
    ]
    for row, image in zip(rows, images, strict=True):
        assert row["file"] == f"{image['label']}/{image['seed']}.{suffix}"
        file = archive.read(row["file"])
        assert apart(decoded(file, name), pixels(file_of(image))) <= levels
        if name == "png":
            assert file == file_of(image)
    card = api.http.get(f"/models/{CLASSES}/card")
    assert archive.read("CARD.md") == card.content


def test_arrays(api: Api) -> None:
    asked = {"model": CLASSES, "seed": 100, "count": 20}
    images = api.images(**asked)
    wanted = np.stack([pixels(file_of(image)) for image in images])
    npy = np.load(io.BytesIO(api.generate("application/x-npy", **asked).content))
    assert npy.dtype == np.uint8
    assert np.array_equal(npy, wanted)
    with np.load(io.BytesIO(api.generate("application/x-npz", **asked).content)) as npz:
        assert np.array_equal(npz["images"], wanted)
        assert npz["seeds"].tolist() == [image["seed"] for image in images]
        assert npz["labels"].tolist() == [image["label"] for image in images]
        told = json.loads(str(npz["provenance"]))
    assert (told["model"], told["truncation"], told["synthetic"]) == (CLASSES, 1.0, True)
    assert told["engine_digest"] == api.generate(**asked).json()["engine"]["digest"]


def test_named_and_drawn_labels_in_a_zip(api: Api) -> None:
    drawn = rows_of(opened(api.generate("application/zip", model=CLASSES, count=64, seed=1).content))
    assert {row["label"] for row in drawn} == set(LABELS)
    for label in LABELS:
        answer = api.generate("application/zip", model=CLASSES, count=64, seed=1, label=label)
        named = rows_of(opened(answer.content))
        assert {row["label"] for row in named} == {label}
        # A drawn label is the same sample as that label named.
        same = [d["sha256"] == n["sha256"] for d, n in zip(drawn, named, strict=True)]
        assert same == [row["label"] == label for row in drawn]
    plain = opened(api.generate("application/zip", model=PLAIN, count=3, seed=1).content)
    assert [row["file"] for row in rows_of(plain)] == [f"samples/{seed}.png" for seed in (1, 2, 3)]


def test_items_with_repeats_in_a_zip(api: Api) -> None:
    items = [
        {"seed": 5, "label": "NORMAL"},
        {"seed": 5, "label": "PNEUMONIA"},
        {"seed": 5, "label": "NORMAL"},
        {"seed": 9},
    ]
    archive = opened(api.generate("application/zip", model=CLASSES, items=items).content)
    rows = rows_of(archive)
    assert len({row["file"] for row in rows}) == len(items)
    assert [row["seed"] for row in rows] == [5, 5, 5, 9]
    assert [row["label"] for row in rows[:3]] == ["NORMAL", "PNEUMONIA", "NORMAL"]
    assert rows[0]["sha256"] == rows[2]["sha256"] != rows[1]["sha256"]
    for row in rows:
        alone = api.png(model=CLASSES, seed=row["seed"], label=row["label"])
        assert archive.read(row["file"]) == alone


@pytest.mark.parametrize(
    ("accept", "body", "field", "remedy"),
    [
        ("application/json", {"count": 257}, "count", "application/zip (up to 100,000)"),
        ("image/png", {"count": 2}, "count", "application/json (up to 256)"),
        ("application/dicom", {"items": [{"seed": 1}] * 2}, "items", "application/zip"),
        ("application/x-npy", {"count": 4097}, "count", "application/zip (up to 100,000)"),
        ("application/x-npz", {"count": 4097}, "count", "application/zip (up to 100,000)"),
        ("application/zip", {"count": 100_001}, "count", "less than or equal to 100000"),
        ("application/json", {"format": "png"}, "format", "application/zip"),
        ("image/webp", {"format": "webp"}, "format", "application/zip"),
        ("application/zip", {"format": "tiff"}, "format", "'png', 'jpeg', 'webp' or 'dicom'"),
        ("application/zip", {"seed": SEED_MAX - 1, "count": 3}, "seed", str(SEED_MAX)),
        ("application/zip", {"items": [{"seed": 2**53}]}, "items.0.seed", str(SEED_MAX)),
    ],
)
def test_limits_name_the_field_and_another_way(
    api: Api, accept: str, body: dict[str, Any], field: str, remedy: str
) -> None:
    answer = api.generate(accept, model=PLAIN, **body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert remedy in error["allowed"]


@pytest.mark.parametrize(
    ("accept", "count"),
    [("application/json", 256), ("application/x-npy", 4096), ("application/x-npz", 4096)],
)
def test_the_most_that_a_form_holds(api: Api, accept: str, count: int) -> None:
    answer = api.generate(accept, model=PLAIN, count=count, seed=0)
    assert answer.status_code == 200
    if accept == "application/json":
        assert len(answer.json()["images"]) == count
    elif accept == "application/x-npy":
        assert np.load(io.BytesIO(answer.content)).shape == (count, 64, 64)
    else:
        with np.load(io.BytesIO(answer.content)) as npz:
            assert npz["images"].shape == (count, 64, 64)
            assert npz["seeds"].tolist() == list(range(count))


@pytest.mark.parametrize("accept", ["nonsense", "text/html", "application/json;q=0", "image/gif"])
def test_unknown_forms_are_refused(api: Api, accept: str) -> None:
    answer = api.generate(accept, model=PLAIN)
    assert answer.status_code == 406
    assert answer.json()["errors"][0]["field"] == "Accept"
    assert "application/x-npz" in answer.json()["detail"]


def test_the_preferred_form_is_answered(api: Api) -> None:
    for accept, media_type in [
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("image/webp;q=0.5, image/jpeg", "image/jpeg"),
        ("text/html, application/x-npy;q=0.1", "application/x-npy"),
    ]:
        assert api.generate(accept, model=PLAIN).headers["Content-Type"] == media_type


@pytest.mark.parametrize("model", [PLAIN, CLASSES, BUNDLED])
def test_the_address_of_a_sample(api: Api, model: str) -> None:
    made = api.generate("image/png", model=model, seed=7, truncation=0.9)
    address = made.headers["Content-Location"]
    found = api.http.get(address)
    assert found.status_code == 200
    assert found.content == made.content
    etag = found.headers["ETag"]
    assert etag == made.headers["ETag"]

    images = api.metric("synthorax_images_total")
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = api.http.get(address, headers={"If-None-Match": known})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["ETag"] == etag
        assert unchanged.headers["Cache-Control"] == found.headers["Cache-Control"]
    assert api.metric("synthorax_images_total") == images
    changed = api.http.get(address, headers={"If-None-Match": '"other"'})
    assert changed.content == made.content
    assert api.metric("synthorax_images_total") == images + 1

    path = address.partition("?")[0]
    other = api.http.get(path, params={"engine": "other"})
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "engine"
    assert api.metric("synthorax_images_total") == images + 1


def test_only_public_models_are_cached(api: Api) -> None:
    for model, named, unnamed in [
        (BUNDLED, "public, max-age=31536000, immutable", "no-cache"),
        (PLAIN, "private, no-store", "private, no-store"),
    ]:
        made = api.generate("image/png", model=model, seed=7)
        assert made.headers["Cache-Control"] == unnamed
        address = made.headers["Content-Location"]
        assert "engine=" in address
        assert api.http.get(address).headers["Cache-Control"] == named
        path = address.partition("?")[0]
        assert api.http.get(path).headers["Cache-Control"] == unnamed
        for accept in ("application/json", "application/zip", "application/x-npy"):
            assert api.generate(accept, model=model).headers["Cache-Control"] == unnamed


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{CLASSES}/samples/COVID/1.png", "label"),
        (f"{CLASSES}/samples/_/{2**53}.png", "seed"),
        (f"{CLASSES}/samples/_/1.png?truncation=0", "truncation"),
        (f"{PLAIN}/samples/NORMAL/1.png", "label"),
    ],
)
def test_wrong_addresses(api: Api, path: str, field: str) -> None:
    answer = api.http.get(f"/models/{path}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_large_zip_is_streamed(api: Api) -> None:
    body = {"model": CLASSES, "seed": SEED_MAX - 2999, "count": 3000, "format": "png"}
    headers = {"Accept": "application/zip"}
    with api.http.stream("POST", "/generate", json=body, headers=headers) as answer:
        assert answer.status_code == 200
        assert "Content-Length" not in answer.headers
        content = b"".join(answer.iter_raw())
    archive = opened(content)
    rows = rows_of(archive)
    assert [row["seed"] for row in rows] == list(range(SEED_MAX - 2999, SEED_MAX + 1))
    assert len(archive.namelist()) == 3000 + len(["CARD.md", "manifest.csv", "manifest.jsonl"])
    for row in rows[::300] + rows[-1:]:
        file = archive.read(row["file"])
        assert hashlib.sha256(pixels(file).tobytes()).hexdigest() == row["sha256"]
        assert file == api.png(model=CLASSES, seed=row["seed"])
