"""Traces: one for all that a request leads to, in a collector; nothing without an endpoint."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.service.conftest import Service, train_request, wait_until

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "request-of-a-trace"}


class Collector:
    """An OTLP collector over HTTP: spans by their ids, as they come."""

    def __init__(self) -> None:
        self.spans: dict[str, dict[str, Any]] = {}
        self.text = b""  # all that was sent
        collector = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body: bytes) -> None:
        self.text += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.span_id.hex()] = {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "service": about["service.name"],
                        "seconds": (span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9),
                        "about": {a.key: _value(a.value) for a in span.attributes},
                    }

    def below(self, parent: str) -> list[tuple[str, dict[str, Any]]]:
        """Ids and spans, earliest first."""
        found = [(key, span) for key, span in self.spans.items() if span["parent"] == parent]
        return sorted(found, key=lambda each: each[1]["seconds"])

    def tree(self, parent: str) -> list[Any]:
        """Names, each with what is below it."""
        return [[span["name"], *self.tree(key)] for key, span in self.below(parent)]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, roots: Path, tiny_models: Path, collector: Collector
) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("data")
    shutil.copytree(tiny_models, data_dir / "models")
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    running = Service(data_dir, roots, more)
    running.start()
    yield running
    running.close()


def test_a_train_job_is_one_trace_from_the_request_to_the_published_version(
    service: Service, dataset: Path, collector: Collector
) -> None:
    answer = service.http.post("/train-jobs", json=train_request(dataset), headers=HEADERS)
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    assert service.ended(job)["status"] == "succeeded"
    wait_until(lambda: any(span["name"] == "attempt" for span in collector.spans.values()))
    ours = {k: span for k, span in collector.spans.items() if span["trace"] == TRACE}
    ((root, request),) = collector.below(CALLER)
    assert (request["name"], request["service"]) == ("POST /train-jobs", "synthorax-api")
    assert request["about"] == {
        "http.request.method": "POST",
        "http.route": "/train-jobs",
        "http.response.status_code": 202,
        "synthorax.request_id": "request-of-a-trace",
    }
    (_, queue), (attempt, of_attempt) = collector.below(root)
    assert (queue["name"], of_attempt["name"]) == ("queue", "attempt")
    assert queue["seconds"][1] <= of_attempt["seconds"][0] + 0.001
    assert of_attempt["service"] == "synthorax-worker"
    about = of_attempt["about"]
    assert (about["synthorax.job"], about["synthorax.attempt"]) == (job, 1)
    assert about["synthorax.request_id"] == "request-of-a-trace"
    ((_, trainer),) = collector.below(attempt)
    assert (trainer["name"], trainer["about"]["synthorax.exit_code"]) == ("trainer", 0)
    assert trainer["about"]["synthorax.model"].startswith("tiny@")
    ((_, *phases),) = collector.tree(attempt)
    assert [phase[0] for phase in phases] == ["preparing", "training", "publishing"]
    within = [name for (name,) in phases[1][1:]]
    assert within.count("epoch") == 2
    assert "checkpoint" in within
    epochs = [span["about"]["synthorax.epoch"] for span in ours.values() if span["name"] == "epoch"]
    assert sorted(epochs) == [1, 2]
    for key, span in ours.items():  # whoever is below somebody lies within its time
        if span["parent"] in ours and span["name"] not in ("queue", "attempt"):
            assert span["seconds"][0] >= ours[span["parent"]]["seconds"][0], key
    for secret in (str(dataset), "chest_xray", "127.0.0.1"):
        assert secret.encode() not in collector.text


def test_an_answer_tells_of_its_wait_its_batches_and_its_files(
    service: Service, collector: Collector
) -> None:
    caller = "00f067aa0ba902b8"
    headers = {"traceparent": f"00-{TRACE}-{caller}-01"}
    answer = service.http.post("/generate", json={"model": "tiny@1", "count": 3}, headers=headers)
    assert answer.status_code == 200
    wait_until(lambda: collector.below(caller))
    ((root, request),) = collector.below(caller)
    assert request["name"] == "POST /generate"
    assert request["about"]["http.response.status_code"] == 200
    below = collector.below(root)
    assert {span["name"] for _, span in below} == {"queue", "batch", "encode"}
    batches = [span["about"] for _, span in below if span["name"] == "batch"]
    assert sum(about["synthorax.images"] for about in batches) == 3
    assert {about["synthorax.model"] for about in batches} == {"tiny@1"}
    # Whoever sends nothing, or nonsense, gets a trace of its own; unsampled ones are not sent.
    for wrong in ({}, {"traceparent": "00-nonsense-01"}):
        assert service.http.get("/models", headers=wrong).status_code == 200
    unsampled = f"00-{'ab' * 16}-{'cd' * 8}-00"
    assert service.http.get("/presets", headers={"traceparent": unsampled}).status_code == 200
    assert service.http.get("/datasets").status_code == 200

    def names() -> set[str]:
        return {span["name"] for span in collector.spans.values()}

    wait_until(lambda: "GET /datasets" in names())
    roots = [span for span in collector.spans.values() if span["name"] == "GET /models"]
    assert [span["parent"] for span in roots] == ["", ""]
    assert len({span["trace"] for span in roots} | {TRACE}) == 3
    assert not names() & {"GET /presets", "GET /metrics", "GET /health/ready"}
