"""Webhooks from a job's end to a real receiver: signed, retried, once for each end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from library.settings import Settings
from tests.test_jobs import REQUEST
from tests.valkey import Server
from worker import keys, webhooks
from worker.jobs import JobStore
from worker.webhooks import RETRY_SECONDS, Outbox, deliver_forever

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver(HTTPServer):
    """Answers with the codes it is given, then 204; keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        code = self.server.codes.pop(0) if self.server.codes else 204
        self.send_response(code)
        if code == 302:
            self.send_header("Location", self.server.url + "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def store(server: Server) -> JobStore:
    server.client().flushall()
    return JobStore(server.client())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def outbox(store: JobStore) -> Iterator[Outbox]:
    with httpx.Client() as http:
        yield Outbox(store, Settings(webhook_secret=SECRET), http)


def ended(store: JobStore, url: str, status: str = "succeeded") -> str:
    job = str(store.create(REQUEST, webhook=url)["id"])
    store.transition(job, ("queued",), status, model="tiny@1")
    return job


def state(store: JobStore, job: str) -> dict[str, Any]:
    found: dict[str, Any] = store.get(job)["webhook"]
    return found


def next_attempt(store: JobStore, job: str) -> float:
    return float(store.redis.zscore(keys.WEBHOOKS, job))


def test_an_end_is_told_with_ids_and_status_alone(
    store: JobStore, receiver: Receiver, outbox: Outbox
) -> None:
    job = ended(store, receiver.url)
    assert outbox.deliver() == 1
    ((headers, body),) = receiver.got
    record = store.get(job)
    assert json.loads(body) == {
        "type": "train_job.ended",
        "timestamp": record["finished_at"],
        "data": {"id": job, "status": "succeeded"},
    }
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert state(store, job)["status"] == "delivered"
    assert not store.redis.exists(keys.WEBHOOKS)
    assert outbox.deliver() == 0


def test_a_receiver_that_fails_is_asked_again_later_and_later(
    store: JobStore, receiver: Receiver, outbox: Outbox
) -> None:
    job = ended(store, receiver.url)
    receiver.codes = [500, 302] + [503] * (len(RETRY_SECONDS) - 1)
    now = next_attempt(store, job)
    for attempt, pause in enumerate(RETRY_SECONDS, 1):
        assert outbox.deliver(now) == 1
        assert state(store, job)["attempts"] == attempt
        assert state(store, job)["status"] == "pending"
        later = next_attempt(store, job)
        assert 0.79 * pause <= later - now <= 1.21 * pause
        assert outbox.deliver(later - 0.01) == 0
        now = later
    assert outbox.deliver(now) == 1
    assert state(store, job) == {
        "url": receiver.url,
        "status": "failed",
        "attempts": len(RETRY_SECONDS) + 1,
        "last_error": "it answered 503",
    }
    assert not store.redis.exists(keys.WEBHOOKS)
    # A redirect was not followed, and every attempt had the same id.
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_gone_is_the_last_word_and_nobody_there_is_not(
    store: JobStore, receiver: Receiver, outbox: Outbox
) -> None:
    receiver.codes = [410]
    gone = ended(store, receiver.url)
    away = ended(store, "http://127.0.0.1:9/hook", "failed")
    assert outbox.deliver() == 2
    assert state(store, gone)["status"] == "failed"
    assert state(store, away)["last_error"] == "ConnectError"
    assert store.redis.zrange(keys.WEBHOOKS, 0, -1) == [away]


def test_one_of_two_workers_sends_and_a_killed_one_s_is_sent_again(
    store: JobStore, receiver: Receiver, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ended(store, receiver.url)
    now = next_attempt(store, job)
    # The first worker claims and sends, and is killed before it can say so.
    monkeypatch.setattr(outbox, "_note", lambda **_: None)
    assert outbox.deliver(now) == 1
    with httpx.Client() as http:
        other = Outbox(store, Settings(webhook_secret=SECRET), http)
        assert other.deliver(now) == 0
        assert other.deliver(now + webhooks.CLAIM_SECONDS + 1) == 1
    assert state(store, job)["status"] == "delivered"
    first, second = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == second


def test_a_resumed_job_is_told_of_at_its_next_end(
    store: JobStore, receiver: Receiver, outbox: Outbox
) -> None:
    job = ended(store, receiver.url, "failed")
    store.transition(job, ("failed",), "queued", drop=("finished_at",))
    assert outbox.deliver() == 0
    assert receiver.got == []
    store.transition(job, ("queued",), "cancelled")
    assert outbox.deliver() == 1
    assert json.loads(receiver.got[0][1])["data"]["status"] == "cancelled"
    deleted = ended(store, receiver.url)
    store.delete(deleted)
    assert outbox.deliver() == 0
    assert not store.redis.exists(keys.record(deleted))


def test_the_outbox_is_emptied_by_the_thread_of_a_light_worker(
    store: JobStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.01)
    job = ended(store, receiver.url)
    stop = threading.Event()
    given = (store, Settings(webhook_secret=SECRET), stop)
    thread = threading.Thread(target=deliver_forever, args=given)
    thread.start()
    for _ in range(500):
        if state(store, job)["status"] == "delivered":
            break
        stop.wait(0.02)
    stop.set()
    thread.join()
    assert state(store, job)["status"] == "delivered"


def test_the_page_s_example_verifies_a_real_message(
    store: JobStore, receiver: Receiver, outbox: Outbox
) -> None:
    page = (Path(__file__).parent.parent / "docs" / "webhooks.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  our own page
    ended(store, receiver.url)
    outbox.deliver()
    ((headers, body),) = receiver.got
    assert names["verified"](SECRET, headers, body)
    assert not names["verified"](SECRET, headers, body + b" ")
    assert not names["verified"](SECRET, {**headers, "webhook-timestamp": "1"}, body)
