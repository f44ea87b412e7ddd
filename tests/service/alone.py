"""The API alone: `python -m app` on a folder with the tiny models, without worker or Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import ROOT, WAIT_SECONDS, free_port, wait_until

PLAIN, CLASSES, PUBLIC = "tiny@1", "tiny@2", "chest-xray-dcgan@2"


class Api:
    """A process, and a client of it."""

    def __init__(self, data_dir: Path, models: Path, **settings: Any) -> None:
        self.data_dir = data_dir
        if not (data_dir / "models").exists():
            shutil.copytree(models, data_dir / "models")
        self.port = free_port()
        # The device may be chosen from outside: these tests run on a GPU too.
        kept = {
            name: value
            for name, value in os.environ.items()
            if name == "SYNTHORAX_DEVICE" or not name.startswith("SYNTHORAX_")
        }
        given = {f"SYNTHORAX_{name.upper()}": str(value) for name, value in settings.items()}
        self.environment: Mapping[str, str] = {
            **kept,
            "SYNTHORAX_DATA_DIR": str(data_dir),
            "SYNTHORAX_PORT": str(self.port),
            **given,
        }
        limits = httpx.Limits(max_connections=200)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=WAIT_SECONDS, limits=limits
        )
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Api:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app"], cwd=ROOT, env=self.environment
        )
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)

    def post(self, accept: str = "application/json", **body: Any) -> httpx.Response:
        return self.http.post("/generate", json=body, headers={"Accept": accept})

    def images(self, **body: Any) -> list[dict[str, Any]]:
        """The images of an answer in JSON."""
        answer = self.post(**body)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["images"]
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def settled(self) -> float:
        """Wait until nothing is queued nor made; returns how many images were ever made."""
        made = [-1.0]

        def still() -> bool:
            made.append(self.metric("synthorax_images_total"))
            return made[-1] == made[-2] and self.metric("synthorax_queue_images") == 0

        wait_until(still)
        return made[-1]
