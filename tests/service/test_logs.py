"""One request's id from the API's log line through the worker's to the trainer's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import Service, train_request

REQUEST = "request-7-of-a-test"


@pytest.fixture
def service(tmp_path: Path, roots: Path, tiny_models: Path) -> Iterator[Service]:
    data_dir = tmp_path / "data"
    shutil.copytree(tiny_models, data_dir / "models")
    running = Service(data_dir, roots, {"SYNTHORAX_LOG": "json"})
    running.words = tmp_path / "words"
    running.start()
    yield running
    running.close()


def test_a_request_s_id_is_in_the_lines_of_api_worker_and_trainer(
    service: Service, dataset: Path
) -> None:
    answer = service.http.post(
        "/train-jobs", json=train_request(dataset), headers={"X-Request-ID": REQUEST}
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == REQUEST
    job = answer.json()["id"]
    assert service.ended(job)["status"] == "succeeded"
    assert service.stop() == 0
    assert service.words is not None
    lines = [json.loads(line) for line in service.words.read_text().splitlines() if line[0] == "{"]
    ours = [line for line in lines if line.get("request") == REQUEST]
    of: dict[str, list[dict[str, Any]]] = {}
    for line in ours:
        of.setdefault(line["logger"], []).append(line)
    (asked,) = of["synthorax.app"]
    assert (asked["method"], asked["path"], asked["status"]) == ("POST", "/train-jobs", 202)
    for logger in ("synthorax.worker", "synthorax.trainer"):
        assert {line["job"] for line in of[logger]} == {job}, logger
    told = [(line.get("status"), line.get("phase")) for line in of["synthorax.trainer"]]
    for each in (("running", "preparing"), ("running", "training"), ("succeeded", None)):
        assert told.count(each) == 1  # passed on once
    assert [line["status"] for line in of["synthorax.worker"] if "status" in line] == [
        "running",
        "succeeded",
    ]
    assert str(dataset) not in json.dumps(ours)
