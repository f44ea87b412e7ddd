"""More than the service can do: bounds, deadlines, clients that leave, and the end."""

from __future__ import annotations

import base64
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.alone import CLASSES, PLAIN, PUBLIC, Api
from tests.service.conftest import WAIT_SECONDS, wait_until

pytestmark = pytest.mark.alone
ZIP = {"Accept": "application/zip"}


@pytest.fixture
def api(tmp_path: Path, tiny_models: Path) -> Callable[..., Api]:
    """A service of a test's own, with settings."""
    return lambda **settings: Api(tmp_path, tiny_models, **settings)


def leave_in_the_middle(api: Api, count: int = 100_000) -> None:
    body = {"model": PLAIN, "count": count, "seed": 1}
    with api.http.stream("POST", "/generate", json=body, headers=ZIP) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_raw())


def test_what_would_pass_the_bound_is_told_to_come_again(api: Callable[..., Api]) -> None:
    with api(queue_images=8, cpu_threads=1) as running, ThreadPoolExecutor(32) as clients:
        answers = list(
            clients.map(lambda i: running.post(model=PLAIN, count=7, seed=i), range(300))
        )
        statuses = {answer.status_code for answer in answers}
        assert statuses == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 1
                assert answer.headers["Content-Type"] == "application/problem+json"
        made = 7 * sum(answer.status_code == 200 for answer in answers)
        assert running.settled() == made
        assert running.metric("synthorax_dropped_images_total", reason="refused") > 0
        # One larger than the bound is let in when nothing waits.
        assert running.post(model=PLAIN, count=200).status_code == 200


def test_a_request_that_waits_too_long_gets_504(api: Callable[..., Api]) -> None:
    """Many times what a CPU makes in the second that a request may wait for its next image."""
    settings = {"deadline_seconds": 1, "cpu_threads": 1, "queue_images": 10**6, "device": "cpu"}
    with api(**settings) as running, ThreadPoolExecutor(400) as clients:
        assert running.post(model=PUBLIC).status_code == 200
        unbounded = httpx.Limits(max_connections=None)
        url = str(running.http.base_url)
        with httpx.Client(base_url=url, timeout=WAIT_SECONDS, limits=unbounded) as client:

            def ask(seed: int) -> httpx.Response:
                return client.post("/generate", json={"model": PUBLIC, "count": 256, "seed": seed})

            answers = list(clients.map(ask, range(400)))
        assert {answer.status_code for answer in answers} == {200, 504}
        for answer in answers:
            if answer.status_code == 504:
                assert answer.json()["errors"][0]["field"] == "SYNTHORAX_DEADLINE_SECONDS"
        running.settled()
        assert running.metric("synthorax_dropped_images_total", reason="expired") > 0


def test_readers_that_stop_keep_nobody_out(api: Callable[..., Api]) -> None:
    with api(queue_images=256) as running:
        stalled = []
        try:
            for seed in range(12):  # three times the bound, if each held its room
                body = {"model": PLAIN, "count": 100_000, "seed": seed}
                request = running.http.build_request("POST", "/generate", json=body, headers=ZIP)
                stalled.append(running.http.send(request, stream=True))
                wait_until(lambda: running.metric("synthorax_queue_images") == 0)
            assert {answer.status_code for answer in stalled} == {200}
            assert running.post(model=CLASSES, count=200).status_code == 200
        finally:
            for answer in stalled:
                answer.close()


def test_a_reader_that_takes_nothing_is_given_up(api: Callable[..., Api]) -> None:
    with api(deadline_seconds=1) as running:
        body = {"model": PLAIN, "count": 100_000, "seed": 1}
        with running.http.stream("POST", "/generate", json=body, headers=ZIP) as answer:
            assert answer.status_code == 200
            given_up = {"form": "application/zip", "status": "cut"}
            wait_until(lambda: running.metric("synthorax_generate_requests_total", **given_up) == 1)


def test_those_who_leave_cost_nothing_afterwards(api: Callable[..., Api]) -> None:
    with api() as running:
        for _ in range(5):
            leave_in_the_middle(running)
        made = running.settled()
        dropped = running.metric("synthorax_dropped_images_total", reason="disconnected")
        assert made < 100_000
        assert made + dropped == 5 * 100_000
        time.sleep(0.5)
        assert running.settled() == made


def test_a_large_request_lets_small_ones_through(api: Callable[..., Api]) -> None:
    with api() as running:
        answered = 0
        body = {"model": PLAIN, "count": 100_000, "seed": 1}
        with running.http.stream("POST", "/generate", json=body, headers=ZIP) as answer:
            parts = answer.iter_raw()
            for _ in range(50):
                assert next(parts)
                assert running.post(model=CLASSES).status_code == 200
                answered += 1
        assert answered == 50


def test_the_bytes_do_not_depend_on_the_load(api: Callable[..., Api]) -> None:
    drawn = random.Random(1)
    asked: list[dict[str, Any]] = [
        {
            "model": drawn.choice((PLAIN, CLASSES)),
            "count": drawn.choice((1, 1, 2, 3, 5, 16, 17, 40)),
            "seed": drawn.randrange(2**53 - 100),
            "truncation": drawn.choice((1.0, 0.7, 0.31)),
        }
        for _ in range(60)
    ]
    with api() as running, ThreadPoolExecutor(16) as clients:
        leaving = threading.Thread(target=leave_in_the_middle, args=(running,))
        leaving.start()
        together = list(clients.map(lambda body: running.images(**body), asked))
        leaving.join()
        for body, images in zip(asked, together, strict=True):
            for image in images:
                alone = {**body, "count": 1, "seed": image["seed"], "label": image["label"]}
                content = running.post("image/png", **alone).content
                assert content == base64.b64decode(image["png"])


def test_sigterm_lets_what_is_under_way_end(api: Callable[..., Api]) -> None:
    with api(cpu_threads=1) as running, ThreadPoolExecutor(8) as clients:
        assert running.process is not None
        started = threading.Barrier(9)

        def ask(seed: int) -> httpx.Response:
            started.wait()
            return running.post("application/x-npy", model=PLAIN, count=3000, seed=seed)

        answers = [clients.submit(ask, seed) for seed in range(8)]
        started.wait()
        wait_until(lambda: running.metric("synthorax_queue_images") > 0)
        running.process.send_signal(signal.SIGTERM)

        def refuses() -> bool:
            try:
                ready = running.http.get("/health/ready")
                late = running.post(model=PLAIN).status_code
            except httpx.TransportError:
                return True  # the port is closed already
            return (ready.json()["status"], late) == ("stopping", 503)

        wait_until(refuses)
        for answer in answers:
            assert answer.result().status_code == 200
            assert len(answer.result().content) == 128 + 3000 * 64 * 64
        assert running.process.wait(60) == 0


def test_what_cannot_end_in_time_is_cut_and_not_taken_for_whole(api: Callable[..., Api]) -> None:
    with api(drain_seconds=1, cpu_threads=1) as running:
        assert running.process is not None
        body = {"model": PLAIN, "count": 100_000, "seed": 1}
        with running.http.stream("POST", "/generate", json=body, headers=ZIP) as answer:
            parts = answer.iter_raw()
            assert next(parts)
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in parts:
                    pass
        assert running.process.wait(60) == 0


def test_an_idle_service_ends_at_once(api: Callable[..., Api]) -> None:
    with api() as running:
        assert running.stop(signal.SIGINT) == 0


def test_encoder_processes_make_the_same_bytes_and_may_die(api: Callable[..., Api]) -> None:
    body = {"model": CLASSES, "count": 200, "seed": 11}
    with api() as running:
        expected = running.images(**body)
    with api(encoder_processes=2) as running:
        assert running.process is not None
        assert running.images(**body) == expected
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        if not children.exists():
            pytest.skip("this system does not list a process's children")
        encoders = [int(pid) for pid in children.read_text().split()]
        assert len(encoders) == 2
        for pid in encoders:
            os.kill(pid, signal.SIGKILL)
        for _ in range(3):
            assert running.images(**body) == expected
        assert running.stop() == 0
