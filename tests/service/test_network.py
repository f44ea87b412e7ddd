"""Valkey, API and worker as compose starts them, each with an address of its own.

The network between them is cut and healed, and each of them is replaced while images are asked for
and a job trains.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest

from library.keys import new_key
from tests.faults.cluster import LEASE_SECONDS, Part
from tests.namespaces import Member, Network, bridged
from tests.service.conftest import ROOT, train_request, wait_until
from tests.service.nginx import Nginx
from tests.valkey import Listening
from worker import keys
from worker.jobs import JobStore

KEY, SECRET = new_key("test", "admin")
MODEL = "chest-xray-turbo@2"
PORT = 8000
PASSWORD = token_hex(16)


class Stack:
    """Services on a network with a proxy in its hub, a data folder, and images to train on."""

    def __init__(self, network: Network, folder: Path, dataset: Path, ends: ExitStack) -> None:
        self.network, self.dataset, self._ends = network, dataset, ends
        self.data_dir = folder / "data"
        self.data_dir.mkdir()
        self.at: dict[str, Member] = {
            name: network.join() for name in ("valkey", "api", "api-2", "worker", "worker-2")
        }
        valkey = self.at["valkey"]
        self.valkey = Listening(folder / "q", valkey.address, PASSWORD, valkey.inside)
        apis = [f"{self.at[name].address}:{PORT}" for name in ("api", "api-2")]
        self.nginx = Nginx(folder / "nginx", apis, network.address)
        self.http = httpx.Client(
            base_url=self.nginx.url, headers={"Authorization": f"Bearer {SECRET}"}, timeout=60
        )
        self.parts: dict[str, Part] = {}
        self.store = JobStore(self.valkey.client())

    def start(self, name: str, *role: str) -> None:
        """An API, or a worker of a role, at the address of its name."""
        place = self.at[name]
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SYNTHORAX_")},
            "PYTHONPATH": str(ROOT),
            "SYNTHORAX_DATA_DIR": str(self.data_dir),
            "SYNTHORAX_DATASET_ROOTS": str(self.dataset.parent),
            "SYNTHORAX_REDIS_URL": self.valkey.url,
            "SYNTHORAX_LEASE_SECONDS": str(LEASE_SECONDS),
            "SYNTHORAX_DEVICE": "cpu",
            "SYNTHORAX_TRAIN_DEVICE": "cpu",
            "SYNTHORAX_CPU_THREADS": "1",
            "SYNTHORAX_WORKER_NAME": name,
            "SYNTHORAX_API_KEYS": KEY.entry,
            "SYNTHORAX_ALLOWED_HOSTS": self.network.address,
            "SYNTHORAX_HOST": place.address if not role else "127.0.0.1",
            "SYNTHORAX_PORT": str(PORT),
        }
        command = [*place.inside.prefix, sys.executable, "-m", *(role or ("app",))]
        part = self.parts[name] = Part(name, command, environment)
        self._ends.callback(part.close)
        part.start()

    def ready(self, name: str) -> bool:
        try:
            address = f"http://{self.at[name].address}:{PORT}/health/ready"
            # The name is another one than the proxy's, and guarded.
            answer = httpx.get(address, headers={"Host": self.network.address})
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def end(self, name: str) -> None:
        """As an engine ends a container."""
        part = self.parts[name]
        part.signal(signal.SIGTERM)
        assert part.wait() == 0, part.log.name

    def job(self, job: str) -> dict[str, Any]:
        """By the store itself: the API may be cut off from it."""
        return self.store.get(job)

    def shown(self, job: str) -> int:
        progress = self.job(job)["progress"]
        return int(progress["images"]) if progress else 0

    def works_on(self, job: str) -> None:
        """Wait until it gets further."""
        before = self.shown(job)
        wait_until(lambda: self.shown(job) > before)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("network")
    with bridged() as network, network.hub.entered(), ExitStack() as ends:
        made = Stack(network, folder, dataset, ends)
        with made.valkey, made.nginx:
            made.start("api")
            made.start("worker", "worker", "training")
            wait_until(lambda: made.ready("api") and made.nginx.answers())
            yield made
            made.http.close()
            ends.close()


@contextmanager
def images_wanted(stack: Stack) -> Iterator[None]:
    """Images are asked for without a pause, and every answer is the picture."""
    body = {"model": MODEL, "seed": 1}
    headers = {"Accept": "image/png"}
    whole = stack.http.post("/generate", json=body, headers=headers)
    assert whole.status_code == 200, whole.text
    over, wrong, right = threading.Event(), [], []

    def ask() -> None:
        while not over.is_set():
            try:
                answer = stack.http.post("/generate", json=body, headers=headers)
            except httpx.TransportError as error:
                wrong.append(repr(error))
                continue
            if answer.status_code == 200 and answer.content == whole.content:
                right.append(1)
            else:
                wrong.append(f"{answer.status_code} {answer.text}")
            time.sleep(0.01)

    reader = threading.Thread(target=ask)  # of this thread's network
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()
    assert not wrong
    assert right


def train(stack: Stack) -> str:
    model = f"tiny-{os.urandom(4).hex()}"
    body = {**train_request(stack.dataset, epochs=5000), "model": model}
    answer = stack.http.post("/train-jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def finished(stack: Stack, job: str) -> None:
    """The job ends well, having published once, and its version makes images."""
    wait_until(lambda: stack.http.post(f"/train-jobs/{job}/finish").status_code in (200, 202))
    wait_until(lambda: stack.job(job).get("finished_at") is not None)
    ended = stack.job(job)
    assert ended["status"] == "succeeded", ended
    name = ended["model"].partition("@")[0]
    assert [path.name for path in (stack.data_dir / "models" / name).iterdir()] == ["1"]
    entries: Any = stack.store.redis.xrange(keys.events(job))
    told = [json.loads(fields["event"]) for _, fields in entries]
    assert [each["status"] for each in told if each["type"] == "status"].count("succeeded") == 1
    answer = stack.http.post("/generate", json={"model": ended["model"], "seed": 1})
    assert answer.status_code == 200, answer.text


def test_the_password_is_asked_for(stack: Stack) -> None:
    told = stack.at["api"].inside.run(
        sys.executable, "-c",
        f"import socket; s = socket.create_connection(('{stack.at['valkey'].address}', 6379), 5); "
        "s.sendall(b'PING\\r\\n'); print(s.recv(99))",
    )  # fmt: skip
    assert "NOAUTH" in told


def test_a_cut_network_costs_neither_image_nor_job(stack: Stack) -> None:
    job = train(stack)
    stack.works_on(job)
    valkey = stack.at["valkey"]
    with images_wanted(stack):
        stack.at["api"].cut(valkey)
        answer = stack.http.get("/train-jobs")
        # The API's own refusal; nginx's, where it asks the replica last that is not there.
        assert answer.status_code in (502, 503), answer.text
        stack.works_on(job)
        stack.at["api"].heal(valkey)
        wait_until(lambda: stack.http.get("/train-jobs").status_code == 200)
        stack.at["worker"].cut(valkey)
        time.sleep(2 * LEASE_SECONDS)
        assert stack.http.get(f"/train-jobs/{job}").status_code == 200
        stack.at["worker"].heal(valkey)
        stack.works_on(job)
        finished(stack, job)


def test_each_service_is_replaced_while_it_is_used(stack: Stack) -> None:
    job = train(stack)
    stack.works_on(job)
    with images_wanted(stack):
        stack.start("api-2")
        wait_until(lambda: stack.ready("api-2"))
        stack.end("api")
        stack.start("worker-2", "worker", "training")
        stack.end("worker")
        stack.works_on(job)
        stack.valkey.stop()
        stack.valkey.start()
        wait_until(lambda: stack.http.get(f"/train-jobs/{job}").status_code == 200)
        stack.works_on(job)
        finished(stack, job)
