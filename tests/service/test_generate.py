"""POST /generate and the sample's address, over HTTP: the same bytes, and clear refusals."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.conftest import Service

PLAIN, CLASSES = "tiny@1", "tiny@2"


def generate(service: Service, **request: Any) -> list[dict[str, Any]]:
    answer = service.http.post("/generate", json=request)
    assert answer.status_code == 200, answer.text
    images: list[dict[str, Any]] = answer.json()["images"]
    return images


def pixels(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_sixteen_grey_pictures_that_are_all_different(service: Service) -> None:
    images = generate(service, model=PLAIN, count=16, seed=42)
    assert [image["seed"] for image in images] == list(range(42, 58))
    decoded = [pixels(base64.b64decode(image["png"])) for image in images]
    assert {p.shape for p in decoded} == {(64, 64)}
    assert len({p.tobytes() for p in decoded}) == 16
    for image, levels in zip(images, decoded, strict=True):
        assert image["sha256"] == hashlib.sha256(levels.tobytes()).hexdigest()


@pytest.mark.parametrize("model", [PLAIN, CLASSES])
@pytest.mark.parametrize("truncation", [1.0, 0.7, 1.3])
def test_alone_or_in_a_batch_the_same_bytes(
    service: Service, model: str, truncation: float
) -> None:
    together = generate(service, model=model, count=23, seed=42, truncation=truncation)
    again = generate(service, model=model, count=23, seed=42, truncation=truncation)
    assert together == again
    for image in together:
        body = {"model": model, "seed": image["seed"], "truncation": truncation}
        alone = service.http.post("/generate", json=body, headers={"Accept": "image/png"})
        assert alone.content == base64.b64decode(image["png"])
    items = [{"seed": i["seed"], "label": i["label"]} for i in reversed(together)]
    listed = generate(service, model=model, items=items, truncation=truncation)
    assert [i["png"] for i in listed] == [i["png"] for i in reversed(together)]


def test_restart_gives_the_same_bytes(own_service: Service) -> None:
    before = generate(own_service, model=CLASSES, count=16, seed=42)
    assert own_service.stop() == 0
    own_service.start()
    assert generate(own_service, model=CLASSES, count=16, seed=42) == before


def test_labels(service: Service) -> None:
    normal = generate(service, model=CLASSES, count=4, seed=1, label="NORMAL")
    pneumonia = generate(service, model=CLASSES, count=4, seed=1, label="PNEUMONIA")
    assert {i["label"] for i in normal} == {"NORMAL"}
    assert all(a["sha256"] != b["sha256"] for a, b in zip(normal, pneumonia, strict=True))
    drawn = generate(service, model=CLASSES, count=64, seed=1)
    assert {i["label"] for i in drawn} == {"NORMAL", "PNEUMONIA"}
    for image in drawn[:4]:  # a drawn label is the same sample as that label named
        named = normal if image["label"] == "NORMAL" else pneumonia
        assert image["sha256"] in {i["sha256"] for i in named}


def test_without_a_seed_one_is_drawn_and_told(service: Service) -> None:
    first, second = (generate(service, model=PLAIN)[0] for _ in range(2))
    assert first["seed"] != second["seed"]
    again = generate(service, model=PLAIN, seed=first["seed"])[0]
    assert again["png"] == first["png"]


def test_address_of_a_sample(service: Service) -> None:
    image = generate(service, model=CLASSES, seed=9, label="NORMAL")[0]
    address = f"/models/{CLASSES}/samples/NORMAL/9.png"
    found = service.http.get(address)
    assert found.content == base64.b64decode(image["png"])
    etag = found.headers["ETag"]
    unchanged = service.http.get(address, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert service.http.get(f"{address}?truncation=0.5").headers["ETag"] != etag
    engine = service.http.post("/generate", json={"model": CLASSES}).json()["engine"]["digest"]
    assert service.http.get(f"{address}?engine={engine}").status_code == 200
    other = service.http.get(f"{address}?engine=other")
    assert other.status_code == 409
    assert engine in other.json()["detail"]
    # Trained on somebody's folder: private, so that no cache keeps it.
    assert "no-store" in found.headers["Cache-Control"]


def test_provenance_is_in_the_file(service: Service) -> None:
    answer = service.http.post(
        "/generate", json={"model": CLASSES, "seed": 3}, headers={"Accept": "image/png"}
    )
    with Image.open(io.BytesIO(answer.content)) as image:
        image.load()
        facts = json.loads(image.info["synthorax"])
        assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
    assert facts["synthetic"] is True
    assert (facts["model"], facts["seed"], facts["truncation"]) == (CLASSES, 3, 1.0)
    assert facts["label"] in ("NORMAL", "PNEUMONIA")


WRONG: list[tuple[dict[str, Any], int, str, str]] = [
    ({"model": "nobody"}, 404, "model", "tiny"),
    ({"model": "tiny@99"}, 404, "model", "tiny"),
    ({"model": "../../etc"}, 404, "model", "models here"),
    ({"model": CLASSES, "label": "COVID"}, 422, "label", "NORMAL, PNEUMONIA"),
    ({"model": PLAIN, "label": "NORMAL"}, 422, "label", "leave the label out"),
    ({"count": 0}, 422, "count", "greater than or equal to 1"),
    ({"count": 10**9}, 422, "count", "less than or equal to 100000"),
    ({"count": 257}, 422, "count", "application/zip (up to 100,000)"),
    ({"count": "4"}, 422, "count", "valid integer"),
    ({"seed": -1}, 422, "seed", "greater than or equal to 0"),
    ({"seed": 2**60}, 422, "seed", "9007199254740991"),
    ({"seed": True}, 422, "seed", "valid integer"),
    ({"seed": 1.5}, 422, "seed", "valid integer"),
    ({"seed": 2**53 - 1, "count": 2}, 422, "seed", "2^53 - 1"),
    ({"truncation": 0}, 422, "truncation", "greater than 0"),
    ({"truncation": 1.6}, 422, "truncation", "less than or equal to 1.5"),
    ({"sed": 4}, 422, "sed", "not permitted"),
    ({"items": []}, 422, "items", "at least 1"),
    ({"items": [{"seed": 1}], "count": 2}, 422, "count", "not both"),
    ({"model": CLASSES, "items": [{"seed": 1, "label": "x"}]}, 422, "items.0.label", "NORMAL"),
]


@pytest.mark.parametrize(("body", "status", "field", "remedy"), WRONG)
def test_wrong_requests_name_field_value_and_remedy(
    service: Service, body: dict[str, Any], status: int, field: str, remedy: str
) -> None:
    answer = service.http.post("/generate", json=body)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert remedy in error["allowed"]
    assert "given" in error


@pytest.mark.parametrize("content", [b"", b"{", b"seed=1", b"\xff\xfe", b"[1]", b"null"])
def test_a_body_that_is_no_json_object(service: Service, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = service.http.post("/generate", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_json_alone_is_accepted(service: Service) -> None:
    answer = service.http.post("/generate", data={"seed": "1"})
    assert answer.status_code == 415
    assert answer.json()["errors"][0]["field"] == "Content-Type"


def test_a_large_body_is_refused(service: Service) -> None:
    answer = service.http.post("/generate", json={"label": "x" * 2_000_000})
    assert answer.status_code == 413
    for path in ("/generate", "/train-jobs", "/datasets", "/verify"):  # without a length
        part = b'{"label": "' + bytes(2**20)
        parts = iter([part] * (33 if path == "/verify" else 2))
        json_type = {"Content-Type": "application/json"}
        answer = service.http.post(path, content=parts, headers=json_type)
        assert answer.status_code == 413, path


def test_other_hosts_and_origins_are_refused(service: Service) -> None:
    rebound = service.http.get("/models", headers={"Host": "evil.example"})
    assert rebound.status_code == 421
    assert "SYNTHORAX_ALLOWED_HOSTS" in rebound.json()["detail"]
    crossed = service.http.post("/generate", json={}, headers={"Origin": "https://evil.example"})
    assert crossed.status_code == 403
    own = service.http.post("/generate", json={"model": PLAIN}, headers={"Origin": service.url})
    assert own.status_code == 200


def test_picture_of_several_and_unknown_forms(service: Service) -> None:
    several = service.http.post("/generate", json={"count": 2}, headers={"Accept": "image/png"})
    assert several.status_code == 422
    unknown = service.http.post("/generate", json={}, headers={"Accept": "text/html"})
    assert unknown.status_code == 406
    assert "image/png" in unknown.json()["detail"]


def test_models_are_listed_and_the_active_one_is_the_default(own_service: Service) -> None:
    listed = {m["reference"]: m for m in own_service.http.get("/models").json()["data"]}
    assert listed[CLASSES]["labels"] == ["NORMAL", "PNEUMONIA"]
    assert own_service.http.post(f"/models/{PLAIN}/activate").json()["active"] is True
    answer = own_service.http.post("/generate", json={}).json()
    assert (answer["model"]["name"], answer["model"]["version"]) == ("tiny", 1)
    assert "Intended use" in own_service.http.get(f"/models/{PLAIN}/card").text
    grid = own_service.http.get(f"/models/{PLAIN}/samples.png")
    assert pixels(grid.content).shape == (526, 526)


def test_a_damaged_version_is_listed_with_the_reason_and_others_work(own_service: Service) -> None:
    folder = own_service.data_dir / "models" / "tiny" / "1"
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    damaged = own_service.http.post("/generate", json={"model": PLAIN})
    assert damaged.status_code == 409
    assert "SHA-256" in damaged.json()["detail"]
    (folder / "model.json").write_text("{")
    listed = {m["reference"]: m for m in own_service.http.get("/models").json()["data"]}
    assert listed[PLAIN]["usable"] is False
    assert "model.json" in listed[PLAIN]["reason"]
    assert own_service.http.post("/generate", json={"model": CLASSES}).status_code == 200


def test_documentation_and_page_come_from_here(service: Service) -> None:
    for path in ("/", "/ui/runs", "/docs"):
        text = service.http.get(path).text
        assert "<html" in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        assert service.http.head(path).status_code == 200
    static = service.http.get("/static/app.js")
    assert static.headers["Cache-Control"] == "no-cache"
    unchanged = {"If-None-Match": static.headers["ETag"]}
    assert service.http.get("/static/app.js", headers=unchanged).status_code == 304
    paths = service.http.get("/openapi.json").json()["paths"]
    assert {"/generate", "/train-jobs", "/models"} <= set(paths)


def test_unknown_addresses_are_problems(service: Service) -> None:
    missing = service.http.get("/nothing")
    assert (missing.status_code, missing.json()["status"]) == (404, 404)
    wrong = service.http.get("/generate")
    assert wrong.status_code == 405
    assert wrong.headers["Content-Type"] == "application/problem+json"
