"""Metrics of a running service and its workers: the documented ones, and those of deploy/."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import ROOT, Service, free_port, wait_until

DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def port() -> int:
    """The first of two in a row: the training worker's and the light worker's."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as second:
            second.bind(("127.0.0.1", port + 1))
            return port


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, roots: Path, tiny_models: Path, port: int
) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("data")
    shutil.copytree(tiny_models, data_dir / "models")
    running = Service(data_dir, roots, {"SYNTHORAX_WORKER_METRICS_PORT": str(port)})
    running.start()
    yield running
    running.close()


def scraped(url: str) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Kinds of families by their names in queries; samples by name, then by their labels."""
    kinds: dict[str, str] = {}
    values: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(httpx.get(url).text):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for end in ends.get(family.type, ("",)):
            kinds[family.name + end] = family.type
        for sample in family.samples:
            key = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            values.setdefault(sample.name, {})[key] = sample.value
    return kinds, values


def named(text: str) -> set[str]:
    """Metrics that a text of queries names."""
    return set(re.findall(r"\b(?:synthorax|process)_[a-z0-9_]+", text))


def queries() -> dict[str, str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    found = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_a_job_is_counted_and_its_own_numbers_go_with_it(
    service: Service, dataset: Path, port: int
) -> None:
    worker = f"http://127.0.0.1:{port}/metrics"
    job = service.train(dataset, epochs=200, checkpoint_seconds=1)["id"]
    epoch = "synthorax_training_epoch"
    memory = "synthorax_child_memory_bytes"

    def is_told() -> bool:
        values = scraped(worker)[1]
        return f"job={job}" in values.get(epoch, {}) and memory in values

    wait_until(is_told)
    values = scraped(worker)[1]
    assert values["synthorax_training_epochs"][f"job={job}"] == 200
    assert values["synthorax_training_images_per_second"][f"job={job}"] > 0
    assert values[memory]["child=trainer"] > 2**20
    assert values["synthorax_attempts_total"][""] == 1
    assert values["synthorax_leases_total"]["result=renewed"] > 0
    shown = scraped(f"{service.url}/metrics")[1]
    assert shown["synthorax_jobs"] == {"status=kept": 1, "status=queued": 0, "status=running": 1}
    alive = {"queue=training": 1, "queue=light": 1, "queue=generation": 0}
    assert shown["synthorax_workers"] == alive
    assert shown["synthorax_redis_up"][""] == 1
    waiting = service.train(dataset)["id"]
    shown = scraped(f"{service.url}/metrics")[1]
    assert shown["synthorax_jobs"]["status=queued"] == 1
    assert 0 < shown["synthorax_jobs_oldest_queued_seconds"][""] < 600
    service.http.post(f"/train-jobs/{waiting}/cancel", json={})
    service.http.post(f"/train-jobs/{job}/finish", json={})
    assert service.ended(job)["status"] == "succeeded"
    ends = "synthorax_attempt_ends_total"
    wait_until(lambda: scraped(worker)[1][ends]["outcome=succeeded"] == 1)
    values = scraped(worker)[1]
    assert values[ends] == {
        "outcome=succeeded": 1, "outcome=cancelled": 0, "outcome=failed": 0, "outcome=queued": 0
    }  # fmt: skip
    assert values["synthorax_child_exits_total"] == {"child=trainer,code=0": 1}
    assert values["synthorax_job_run_seconds_count"]["outcome=succeeded"] == 1
    wait_until(lambda: epoch not in scraped(worker)[1])  # a job's label goes with the job
    assert not any(job in key for each in scraped(worker)[1].values() for key in each)


def test_what_is_named_in_deploy_and_documented_is_exported(service: Service, port: int) -> None:
    assert service.http.post("/generate", json={"count": 2}).status_code == 200
    service.http.get("/train-jobs/none/events", headers={"Host": "evil.example"})
    kinds: dict[str, str] = {}
    for url in (service.url, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"):
        wait_until(lambda url=url: _answers(url))
        kinds |= scraped(f"{url}/metrics")[0]
    for place, query in queries().items():
        names = named(query)
        assert names or query.startswith("up{"), place
        assert names <= kinds.keys(), place
        for name in names:  # rates are of counters, and of them alone
            counts = kinds[name] != "gauge"
            assert counts == bool(re.search(rf"(rate|increase)\({name}\b", query)), (place, name)
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `(synthorax_\w+)` \|", page, re.M))
    ends = r"_(bucket|sum|count)$"
    exported = {re.sub(ends, "", n) if kinds[n] == "histogram" else n for n in kinds}
    ours = {name for name in exported if name.startswith("synthorax_")}
    assert ours == documented


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/metrics").status_code == 200
    except httpx.TransportError:
        return False


def test_requests_are_counted_by_route_not_by_address(service: Service) -> None:
    for i in range(3):
        service.http.get(f"/train-jobs/job-{i}")
        service.http.get(f"/no/such/path-{i}")
    service.http.request("PROPFIND", "/models")
    service.http.get("/static/app.js")
    refused = "synthorax_http_refusals_total"
    service.http.get("/models", headers={"Host": "evil.example"})
    values = scraped(f"{service.url}/metrics")[1]
    requests = values["synthorax_http_requests_total"]
    assert requests["method=GET,route=/train-jobs/{job},status=404"] == 3
    assert requests["method=GET,route=other,status=404"] == 3
    assert requests["method=GET,route=/static,status=200"] == 1
    assert requests["method=other,route=/models,status=405"] == 1
    assert values[refused]["reason=host-not-allowed"] >= 1
    seconds = values["synthorax_http_request_seconds_bucket"]
    assert seconds["le=+Inf,route=/train-jobs/{job}"] >= 3  # and those of the test before
    assert not any("job-1" in key for each in values.values() for key in each)


def test_the_files_of_deploy_hang_together() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    mounted = [each.split(":")[0] for each in compose["services"]["prometheus"]["volumes"]]
    assert {f"./deploy/{name}" for name in ("prometheus.yml", *prometheus["rule_files"])} <= set(
        mounted
    )
    for job in prometheus["scrape_configs"]:
        assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
        (found,) = job["dns_sd_configs"]
        for name in found["names"]:
            environment = compose["services"][name]["environment"]
            assert environment["SYNTHORAX_API_KEYS"].startswith("${SYNTHORAX_API_KEYS:?")
            port = environment.get("SYNTHORAX_WORKER_METRICS_PORT", "8000")
            assert found["port"] == int(port)
            assert name == "api" or "ports" not in compose["services"][name]
    for rule in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
