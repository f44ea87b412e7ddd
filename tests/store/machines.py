"""Two machines without a common disk: an API and a training worker each, over one Valkey, one
bucket."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from library.store.objects import open_objects
from tests.faults.cluster import Part, commands
from tests.service.conftest import ROOT, WAIT_SECONDS, free_port, wait_until
from tests.store.bucket import Bucket
from tests.valkey import Server

LEASE_SECONDS = 2


class Machine:
    """Processes on a data folder of their own."""

    def __init__(self, folder: Path, name: str, server: Server, bucket: Bucket) -> None:
        self.data_dir = folder / name
        self.data_dir.mkdir()
        self.port = free_port()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SYNTHORAX_")},
            **bucket.environment,
            "PYTHONPATH": str(ROOT),
            "SYNTHORAX_DATA_DIR": str(self.data_dir),
            "SYNTHORAX_REDIS_URL": server.url,
            "SYNTHORAX_PORT": str(self.port),
            "SYNTHORAX_STORE": bucket.url,
            "SYNTHORAX_STORE_SECONDS": "1",
            "SYNTHORAX_LEASE_SECONDS": str(LEASE_SECONDS),
            "SYNTHORAX_TRAIN_DEVICE": "cpu",
            "SYNTHORAX_WORKER_NAME": name,
        }
        self.api = Part("api", [sys.executable, "-m", "app"], self.environment)
        self.worker = self._worker("training")
        self.light = self._worker("light")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=WAIT_SECONDS)

    def _worker(self, role: str) -> Part:
        return Part(role, [sys.executable, "-m", "worker", role], self.environment)

    def answers(self) -> bool:
        try:
            return self.http.get("/health/ready").status_code in (200, 503)
        except httpx.TransportError:
            return False

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/train-jobs/{job}")
        return found

    def ended(self, job: str) -> dict[str, Any]:
        wait_until(lambda: self.job(job)["finished_at"] is not None)
        return self.job(job)

    def upload(self, archive: bytes, name: str) -> str:
        headers = {"Content-Type": "application/zip"}
        answer = self.http.post(f"/datasets?name={name}", content=archive, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def train(self, dataset: str, model: str = "shared", **config: Any) -> str:
        body = {"dataset": dataset, "model": model, "preset": "quick", "config": config}
        answer = self.http.post("/train-jobs", json={**body, "report": False})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def trainers(self) -> list[int]:
        wanted = f"{self.data_dir}/runs/"
        return [pid for pid, line in commands() if "-m\0training" in line and wanted in line]

    def words(self) -> str:
        """What its processes have written."""
        return "".join(path.read_text(errors="replace") for path in self.data_dir.glob("*.log"))

    def close(self) -> None:
        for part in (self.api, self.worker, self.light):
            part.close()
        for trainer in self.trainers():
            os.kill(trainer, signal.SIGKILL)
        self.http.close()


class Machines:
    """here, with a light worker too, and there."""

    def __init__(self, folder: Path) -> None:
        self.server, self.bucket = Server(folder / "redis"), Bucket()
        self._folder = folder

    def __enter__(self) -> Self:
        self.server.start()
        self.bucket.__enter__()
        self.here = Machine(self._folder, "here", self.server, self.bucket)
        self.there = Machine(self._folder, "there", self.server, self.bucket)
        for part in (self.here.api, self.there.api, self.here.light, self.here.worker):
            part.start()
        for machine in (self.here, self.there):
            wait_until(machine.answers)
        return self

    def listed(self, prefix: str) -> list[str]:
        """Names of what lies in the bucket."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.bucket.environment.items():
                patch.setenv(name, value)
            return sorted(open_objects(self.bucket.url).list(prefix))

    def kill(self, process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        self.here.close()
        self.there.close()
        self.bucket.__exit__()
        self.server.stop()


def forget(machine: Machine) -> None:
    """A machine that comes back with an empty disk."""
    for name in ("models", "runs", "datasets", "decoded", "features"):
        shutil.rmtree(machine.data_dir / name, ignore_errors=True)
