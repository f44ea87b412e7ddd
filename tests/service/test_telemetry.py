"""What the service tells of itself: Prometheus' metrics, readiness, its document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.alone import CLASSES, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("data"), tiny_models) as running:
        yield running


def test_images_are_counted_by_model_and_label(api: Api) -> None:
    before = {
        label: api.metric("synthorax_images_total", model=CLASSES, label=label)
        for label in ("NORMAL", "PNEUMONIA")
    }
    for label, count in (("NORMAL", 3), ("PNEUMONIA", 20)):
        assert api.post(model=CLASSES, label=label, count=count).status_code == 200
        now = api.metric("synthorax_images_total", model=CLASSES, label=label)
        assert now == before[label] + count


def test_the_histograms_are_whole(api: Api) -> None:
    assert api.post(model=CLASSES, count=50).status_code == 200
    families = {
        family.name: family
        for family in text_string_to_metric_families(api.http.get("/metrics").text)
    }
    for name in ("batch_images", "forward_seconds", "encode_seconds", "wait_seconds"):
        family = families[f"synthorax_{name}"]
        assert family.type == "histogram"
        counts = [s.value for s in family.samples if s.name.endswith("_bucket")]
        (total,) = [s.value for s in family.samples if s.name.endswith("_count")]
        assert counts == sorted(counts)
        assert counts[-1] == total > 0
    assert families["synthorax_queue_images"].type == "gauge"
    assert families["process_resident_memory_bytes"].samples[0].value > 0
    images = api.metric("synthorax_images_total")
    assert api.metric("synthorax_batch_images_sum") == images


def test_answers_are_counted_by_form_and_status(api: Api) -> None:
    def count(form: str, status: str) -> float:
        return api.metric("synthorax_generate_requests_total", form=form, status=status)

    before = count("image/png", "200"), count("none", "422")
    assert api.post("image/png", model=CLASSES).status_code == 200
    assert api.post("image/png", sed=1).status_code == 422
    assert (count("image/png", "200"), count("none", "422")) == (before[0] + 1, before[1] + 1)


def test_the_self_check_is_told(api: Api) -> None:
    assert api.post(model=CLASSES).status_code == 200
    ready = api.http.get("/health/ready").json()
    loaded = {each["model"]: each for each in ready["checks"]["engine"]["loaded"]}
    check = loaded[CLASSES]["self_check"]
    assert check["seeds"] >= 64
    assert check["batch_sizes"] == sorted(check["batch_sizes"])
    digest = api.post(model=CLASSES).json()["engine"]["digest"]
    assert loaded[CLASSES]["digest"] == digest
    exact = api.metric("synthorax_engine_exact", model=CLASSES, engine=digest)
    assert exact == float(check["exact"])
    assert api.metric("synthorax_version_memory_bytes", model=CLASSES) > 0


def test_the_document_shows_what_is_validated(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    generate = document["paths"]["/generate"]["post"]
    reference = generate["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(schema["properties"]) == {
        "model", "label", "count", "seed", "truncation", "items", "format", "reject_near_copies"
    }  # fmt: skip
    most = schema["properties"]["count"]["maximum"]
    answer = api.post(count=int(most) + 1)
    assert answer.json()["errors"][0] == {
        "field": "count",
        "given": int(most) + 1,
        "allowed": f"Input should be less than or equal to {int(most)}",
    }
    assert "application/zip" in generate["responses"]["200"]["content"]
    report = document["components"]["schemas"]["Report"]["properties"]
    assert {"schema", "lights", "fidelity", "privacy", "usefulness", "data", "protocol"} <= set(
        report
    )
    assert "/verify" in document["paths"]
    assert "/metrics" in document["paths"]


@pytest.mark.parametrize(
    "body",
    [
        '{"truncation": Infinity}',
        '{"truncation": 1e999}',
        '{"truncation": NaN}',
        '{"seed": 1e400}',
        '{"seed": ' + "9" * 5000 + "}",
        '{"count": -Infinity}',
        '{"items": [{"seed": Infinity}]}',
    ],
)
@pytest.mark.parametrize("path", ["/generate", "/verify"])
def test_numbers_that_json_cannot_give_back_are_refused(api: Api, path: str, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.http.post(path, content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_foreign_page_may_not_generate(api: Api) -> None:
    for headers, status in (
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ):
        answer = api.http.post("/generate", content=b"{}", headers=headers)
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
    large = b'{"model": "' + b"x" * 2**20 + b'"}'
    headers = {"Content-Type": "application/json"}
    assert api.http.post("/generate", content=large, headers=headers).status_code == 413

    def chunked() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 2**16

    assert api.http.post("/generate", content=chunked(), headers=headers).status_code == 413
