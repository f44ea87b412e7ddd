"""What a job would take, told before it is queued; presets and ancestors by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from library.presets import PRESETS
from synthorax import Client
from synthorax.cli.costs import duration, sentence
from tests.service.conftest import Service, train_request, wait_until


def test_an_estimate_is_measured_and_then_known(service: Service, dataset: Path) -> None:
    body = train_request(dataset, epochs=1000)
    answers: list[Any] = []

    def measured() -> bool:
        answers.append(service.http.post("/train-jobs/estimates?seconds=1", json=body))
        return bool(answers[-1].status_code == 200)

    wait_until(measured)
    assert answers[0].status_code == 202
    assert answers[0].json()["status"] == "measuring"
    assert answers[0].headers["Retry-After"]
    found = answers[-1].json()
    assert found["status"] == "measured"
    assert found["images"] == 24 // 8 * 8 * 1000
    assert found["seconds"] == pytest.approx(found["images"] / found["images_per_second"], rel=0.02)
    assert found["memory_bytes"] > 2**20
    # A seed does not make another question; a width does.
    other = {**body, "config": {**body["config"], "seed": 99}}
    assert service.http.post("/train-jobs/estimates?seconds=1", json=other).json() == found
    wider = {**body, "config": {**body["config"], "generator_width": 16}}
    assert service.http.post("/train-jobs/estimates?seconds=1", json=wider).status_code == 202
    with Client(service.url) as client:
        assert client.estimate(str(dataset), "quick", body["config"], 1) == found
    words = sentence(found)
    assert duration(found["seconds"]) in words
    assert "cpu" in words


def test_nothing_wrong_is_measured(service: Service, dataset: Path) -> None:
    body = {**train_request(dataset, epochs=0), "preset": "papers"}
    answer = service.http.post("/train-jobs/estimates", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "preset"


def test_the_preset_of_a_job_that_names_none(service: Service, dataset: Path) -> None:
    told = service.http.get("/presets").json()
    assert told["default"] in PRESETS
    body = train_request(dataset)
    body.pop("preset")
    job = service.http.post("/train-jobs", json={**body, "config": {**body["config"], "epochs": 1}})
    assert job.status_code == 202, job.text
    assert job.json()["preset"] == told["default"]
    assert job.json()["config"]["family"] == PRESETS[told["default"]]["family"]
    service.http.post(f"/train-jobs/{job.json()['id']}/cancel")


def test_an_ancestor_decides_the_shape(service: Service, dataset: Path) -> None:
    body = train_request(dataset)
    for name in ("generator_width", "discriminator_width"):
        body["config"].pop(name)
    body["config"]["fine_tune"] = "chest-xray-dcgan@2"
    job = service.http.post("/train-jobs", json=body).json()
    assert job["config"]["fine_tune"] == "chest-xray-dcgan@2"
    assert job["config"]["conditional"] is True
    ancestor = service.http.get("/models/chest-xray-dcgan@2").json()
    trained = ancestor["training"]["config"]
    for name in ("family", "latent_dim", "generator_width", "discriminator_width"):
        assert job["config"][name] == trained[name]
    service.http.post(f"/train-jobs/{job['id']}/cancel")
    for changes, field in (
        ({"fine_tune": "nobody"}, "config.fine_tune"),
        ({"generator_width": 9}, "config.generator_width"),
    ):
        wrong = {**body, "config": {**body["config"], **changes}}
        refused = service.http.post("/train-jobs", json=wrong)
        assert refused.status_code == 422
        assert [e["field"] for e in refused.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 second"),
        (30.2, "30 seconds"),
        (90, "2 minutes"),
        (1500, "25 minutes"),
        (7300, "2.0 hours"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
