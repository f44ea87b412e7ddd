"""The service as processes that can be killed one by one: Valkey, workers, API."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from tests.service.conftest import IMAGES, ROOT, free_port, train_request, wait_until
from tests.valkey import Server
from worker import keys
from worker.jobs import JobStore

LEASE_SECONDS = 2


class Part:
    """One program with its process group."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        self.name, self._command, self._environment = name, command, environment
        self.log = open(Path(environment["SYNTHORAX_DATA_DIR"]) / f"{name}.log", "ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals, group: bool = False) -> None:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def wait(self) -> int:
        """Wait for its end; what it has left of its group ends too."""
        assert self.process is not None
        code = self.process.wait(120)
        self.signal(signal.SIGKILL, group=True)
        return code

    def close(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL, group=True)
            self.process.wait()
        self.log.close()


class Cluster:
    """Valkey, training workers, a light worker and the API on a data folder."""

    def __init__(self, folder: Path, workers: int = 2, **settings: Any) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True)
        roots = folder / "roots"
        shutil.copytree(IMAGES, roots / "chest_xray")
        self.dataset = roots / "chest_xray"
        self.server = Server(folder / "redis")
        self.port = free_port()
        given = {f"SYNTHORAX_{name.upper()}": str(value) for name, value in settings.items()}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SYNTHORAX_")},
            "PYTHONPATH": str(ROOT),
            "SYNTHORAX_DATA_DIR": str(self.data_dir),
            "SYNTHORAX_DATASET_ROOTS": str(roots),
            "SYNTHORAX_REDIS_URL": self.server.url,
            "SYNTHORAX_PORT": str(self.port),
            "SYNTHORAX_LEASE_SECONDS": str(LEASE_SECONDS),
            "SYNTHORAX_ATTEMPTS_MAX": "1000",
            "SYNTHORAX_TRAIN_DEVICE": "cpu",
            **given,
        }
        self.workers = [self._worker("training", f"training-{i}") for i in range(workers)]
        self.light = self._worker("light", "light")
        self.api = Part("api", [sys.executable, "-m", "app"], self.environment)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self.store = JobStore(self.server.client())
        self.struck_at = 0.0  # the moment of the last fault, s since 1970

    def _worker(self, role: str, name: str) -> Part:
        environment = {**self.environment, "SYNTHORAX_WORKER_NAME": name}
        return Part(name, [sys.executable, "-m", "worker", role], environment)

    def __enter__(self) -> Self:
        self.server.start()
        for part in (*self.workers, self.light, self.api):
            part.start()
        wait_until(self.answers)
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self.api, self.light, *self.workers):
            part.close()
        self.http.close()
        self.server.stop()
        for trainer in self.trainers():
            os.kill(trainer, signal.SIGKILL)

    def answers(self) -> bool:
        try:
            return self.http.get("/train-jobs").status_code == 200
        except httpx.TransportError:
            return False

    def request(self, **config: Any) -> dict[str, Any]:
        """A job that publishes under a name of its own: the same weights are published once."""
        return {**train_request(self.dataset, **config), "model": f"tiny-{os.urandom(4).hex()}"}

    def train(self, **config: Any) -> str:
        """Queue a job, whatever is down for the moment; returns its id."""
        body = self.request(**config)
        headers = {"Idempotency-Key": os.urandom(8).hex()}
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = self.http.post("/train-jobs", json=body, headers=headers)
                if answer.status_code == 202:
                    return str(answer.json()["id"])
                assert answer.status_code == 503, answer.text
            assert time.monotonic() < deadline, "the API does not come back"
            time.sleep(0.05)

    def events(self, job: str) -> list[dict[str, Any]]:
        """What a client is told, by the API: each with its id."""
        found: list[dict[str, Any]] = []
        after = "0"
        while True:
            address = f"/train-jobs/{job}/events?limit=1000&after={after}"
            page = self.http.get(address).json()
            found += page["data"]
            if not page["has_more"]:
                return found
            after = page["next"]

    def trainers(self, job: str = "") -> list[int]:
        """Process ids of the trainers of a job, or of all jobs of this data folder."""
        wanted = f"{self.data_dir}/runs/{job}"
        return [pid for pid, line in commands() if "-m\0training" in line and wanted in line]

    def processes(self) -> list[str]:
        """Command lines of whatever still runs on this data folder."""
        mine = f"SYNTHORAX_DATA_DIR={self.data_dir}\0"
        found = []
        for pid, line in commands():
            with contextlib.suppress(OSError):
                if mine in Path(f"/proc/{pid}/environ").read_text(errors="replace"):
                    found.append(line.replace("\0", " "))
        return found

    def leases(self) -> list[str]:
        return sorted(self.store.redis.scan_iter(keys.job_lease("*")))


def commands() -> list[tuple[int, str]]:
    """Process id and command line (parts end with NUL) of every process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                found.append((int(entry.name), (entry / "cmdline").read_text(errors="replace")))
    return found
