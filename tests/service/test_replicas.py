"""Two replicas of the API behind nginx: same bytes, events and uploads through it, ends unseen."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from synthorax import Client
from tests.faults.cluster import Cluster, Part
from tests.service.conftest import free_port, wait_until
from tests.service.nginx import Nginx
from tests.sets import packed

MODEL = "chest-xray-turbo@2"
ENDS = (signal.SIGTERM, signal.SIGKILL)


class Replicas(Cluster):
    """A data folder, a Valkey and workers with two APIs and nginx in front of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, workers=1, cpu_threads=1)
        self.ports = (self.port, free_port())
        another = {**self.environment, "SYNTHORAX_PORT": str(self.ports[1])}
        self.apis = (self.api, Part("api-2", [sys.executable, "-m", "app"], another))
        self.nginx = Nginx(folder / "nginx", [f"127.0.0.1:{port}" for port in self.ports])

    def __enter__(self) -> Replicas:
        super().__enter__()
        self.apis[1].start()
        self.nginx.__enter__()
        for number in range(2):
            self.wait_for(number)
        wait_until(self.nginx.answers)
        return self

    def __exit__(self, *_: object) -> None:
        self.nginx.__exit__()
        self.apis[1].close()
        super().__exit__()

    def wait_for(self, number: int) -> None:
        wait_until(lambda: self.health(number).get("status") == "ready")

    def health(self, number: int) -> dict[str, Any]:
        """What a replica itself says of its health."""
        try:
            address = f"http://127.0.0.1:{self.ports[number]}/health/ready"
            found: dict[str, Any] = httpx.get(address).json()
        except httpx.TransportError:
            return {}
        return found

    def replace(self, number: int, how: signal.Signals) -> None:
        """End a replica, wait for its end, start another one in its place."""
        self.apis[number].signal(how)
        code = self.apis[number].wait()
        assert how == signal.SIGKILL or code == 0
        self.apis[number].start()
        self.wait_for(number)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with Replicas(tmp_path_factory.mktemp("replicas")) as running:
        yield running


def noise(seed: int, side: int) -> Image.Image:
    """No two are near-copies, and none can be packed smaller."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (side, side), dtype=np.uint8))


def ask(url: str, seed: int) -> httpx.Response:
    body = {"model": MODEL, "seed": seed}
    return httpx.post(f"{url}/generate", json=body, headers={"Accept": "image/png"}, timeout=60)


def test_all_replicas_make_the_same_bytes(replicas: Replicas) -> None:
    engines = [replicas.health(number)["checks"]["engine"]["loaded"] for number in range(2)]
    assert engines[0][0]["digest"] == engines[1][0]["digest"]
    addresses = [replicas.nginx.url, *(f"http://127.0.0.1:{port}" for port in replicas.ports)]
    for seed in range(8):
        answers = [ask(url, seed) for url in addresses]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["ETag"] for answer in answers}) == 1


def test_an_end_costs_no_image(replicas: Replicas) -> None:
    """A replica is stopped and the other one killed while images are asked for without a pause."""
    whole = {seed: ask(replicas.nginx.url, seed).content for seed in range(16)}
    over = threading.Event()

    def look(first: int) -> list[str]:
        wrong, number = [], first
        while not over.is_set():
            number = (number + 1) % len(whole)
            try:
                answer = ask(replicas.nginx.url, number)
            except httpx.TransportError as error:
                wrong.append(repr(error))
                continue
            if answer.status_code != 200:
                wrong.append(f"{answer.status_code} {answer.text}")
            elif answer.content != whole[number]:
                wrong.append("other bytes")
        return wrong

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(look, first) for first in range(0, 16, 4)]
        try:
            for number, how in enumerate(ENDS):
                replicas.replace(number, how)
        finally:
            over.set()
        assert [reader.result() for reader in readers] == [[], [], [], []]


def test_refusals_of_all_are_told_as_they_are(replicas: Replicas) -> None:
    """Redis away: jobs answer 503 with the reason, from nginx too, and images are made."""
    replicas.server.kill()
    try:
        for _ in range(4):
            answer = httpx.get(f"{replicas.nginx.url}/train-jobs", timeout=60)
            assert answer.status_code == 503
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert ask(replicas.nginx.url, 1).status_code == 200
    finally:
        replicas.server.start()
    wait_until(replicas.answers)


def test_a_stream_of_events_outlives_its_replicas(replicas: Replicas) -> None:
    """Each is replaced, then both are gone while the job ends: nothing is lost, nothing twice."""
    job = replicas.train(epochs=5000)
    seen: list[str] = []

    def read() -> None:
        with Client(replicas.nginx.url, patience=120) as client:
            seen.extend(event.id for event in client.jobs.get(job).events())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: len(replicas.events(job)) > 5)
        for number, how in enumerate(ENDS):
            replicas.replace(number, how)
        finishing = httpx.post(f"{replicas.nginx.url}/train-jobs/{job}/finish")
        assert finishing.status_code in (200, 202), finishing.text
        for api, how in zip(replicas.apis, ENDS, strict=True):
            api.signal(how)
            api.wait()
        wait_until(lambda: replicas.store.get(job)["status"] == "succeeded")
    finally:
        for number, api in enumerate(replicas.apis):
            if not replicas.health(number):
                api.start()
                replicas.wait_for(number)
        reader.join(120)
    assert not reader.is_alive()
    assert seen == [event["id"] for event in replicas.events(job)]


def test_a_large_upload_goes_through_as_it_comes(replicas: Replicas, tmp_path: Path) -> None:
    """Not gathered by nginx: the API has its beginning before its end is sent."""
    root = tmp_path / "set"
    for number in range(20):
        side = 1400
        path = root / "AB"[number % 2] / f"person{number}_virus_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(number, side).save(path, compress_level=0)
    archive = packed(root, tmp_path / "set.zip")
    size = archive.stat().st_size
    assert size > 35_000_000
    incoming = replicas.data_dir / "datasets" / ".incoming"

    def arrived() -> int:
        return sum(path.stat().st_size for path in incoming.glob("*"))

    def pieces() -> Iterator[bytes]:
        sent = 0
        with archive.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
                sent += len(piece)
                if sent == 20 << 20:
                    wait_until(lambda: arrived() > 10 << 20)
        assert not [path for path in (replicas.nginx.folder / "body").rglob("*") if path.is_file()]

    answer = httpx.post(
        f"{replicas.nginx.url}/datasets", content=pieces(), timeout=120,
        headers={"Content-Type": "application/zip", "Content-Length": str(size)},
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    address = f"{replicas.nginx.url}{answer.headers['Location']}"
    wait_until(lambda: httpx.get(address).json()["status"] != "validating")
    found = httpx.get(address).json()
    assert (found["status"], found["images"]) == ("ready", 20)
