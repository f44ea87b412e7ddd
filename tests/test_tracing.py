"""Tracing is off, and costs nothing, without an endpoint; a trace's context is handed on anyway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from library import logs
from library.errors import InvalidValue
from library.settings import Settings
from library.trace_context import accepted, traceparent
from tests.valkey import Server
from worker import tracing
from worker.jobs import JobStore
from worker.queue import celery_app, enqueue

ROOT = Path(__file__).parent.parent
HERE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}  # nobody listens there

# A request through the guard, a task's way through the worker's signals: as it is in their
# processes, and what of OpenTelemetry they have imported then.
PROGRAM = """
import asyncio, sys, httpx
from app.main import create_app
from library.settings import from_environment
from worker import tracing
import worker.app

app = create_app(from_environment())
async def main():
    tracing.begin("api")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.get("/presets", headers={"traceparent": sys.argv[1]})
        assert answer.status_code == 200
    tracing.end()

asyncio.run(main())
names = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "requests")
print([name for name in names if name in sys.modules])
"""


def imported(folder: Path, **environment: str) -> list[str]:
    """What of OpenTelemetry the program has imported."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SYNTHORAX_", "OTEL_"))}
    redis = {"SYNTHORAX_REDIS_URL": f"unix://{folder}/none.sock"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, HERE],
        cwd=ROOT,
        env={**kept, **redis, "SYNTHORAX_DATA_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    return found


def test_nothing_is_imported_or_sent_without_an_endpoint(tmp_path: Path) -> None:
    assert imported(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=" ") == []  # as compose leaves it


def test_an_endpoint_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracing.endpoint() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    assert tracing.endpoint() == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    for name, value in (("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")):
        with monkeypatch.context() as less:
            less.setenv(name, value)
            assert tracing.endpoint() is None


def test_a_collector_that_is_away_keeps_nobody_from_the_end(tmp_path: Path) -> None:
    assert "opentelemetry.sdk" in imported(tmp_path, **ENDPOINT)


def test_what_cannot_be_sent_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENDPOINT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidValue, match=r"'grpc'.*http/protobuf"):
        tracing.begin("api")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    monkeypatch.setattr(tracing, "_NEEDED", ("no_such_sdk.inside",))
    with pytest.raises(InvalidValue, match=r"OTEL_EXPORTER_OTLP_ENDPOINT.*synthorax\[otel\]"):
        tracing.begin("worker")
    assert not tracing.is_on()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def test_a_context_is_handed_on_also_where_nothing_is_sent(server: Server) -> None:
    assert accepted(HERE) == HERE
    wrong = ("", "00-x", HERE.replace("00-4", "01-4"), HERE.replace(HERE[3:35], "0" * 32), HERE * 2)
    assert [accepted(text) for text in (None, *wrong)] == [None] * 6
    token = traceparent.set(HERE)
    try:
        store = JobStore(server.client())
        job = store.create({"dataset": {"path": "/x", "id": "ds-1"}, "priority": "normal"})
        enqueue(celery_app(Settings(redis_url=server.url)), job)
        assert logs.for_child()["TRACEPARENT"] == HERE
        below = tracing.span("attempt", HERE, {"synthorax.job": job["id"]})
        below.end(error="nobody hears it")
        assert below.traceparent == HERE
    finally:
        traceparent.reset(token)
    assert job["traceparent"] == HERE  # later attempts are of the same trace
    (text,) = store.redis.lrange("synthorax:celery:training\x06\x164", 0, -1)
    assert json.loads(text)["headers"]["traceparent"] == HERE


def test_a_child_s_lines_name_its_trace() -> None:
    program = (
        "import logging; from library.logs import configure_child\n"
        "configure_child('synthorax.trainer'); logging.getLogger('synthorax.trainer').info('so')"
    )
    for given, expected in ((HERE, HERE[3:35]), ("nonsense", None)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "SYNTHORAX_LOG": "json", "TRACEPARENT": given},
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stderr).get("trace") == expected
