"""The API alone: `python -m app` on a folder with models, without worker and Redis."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import ROOT, WAIT_SECONDS, free_port, wait_until

Levels = NDArray[np.uint8]

PLAIN, CLASSES, BUNDLED = "tiny@1", "tiny@2", "chest-xray-dcgan@2"
LABELS = ["NORMAL", "PNEUMONIA"]


class Api:
    """`python -m app` as a process of its own."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        """`environment`: SYNTHORAX_* variables without their prefix."""
        self.data_dir = data_dir
        self.port = free_port()
        kept = {
            k: v
            for k, v in os.environ.items()
            if k == "SYNTHORAX_DEVICE" or not k.startswith("SYNTHORAX_")
        }
        own = {"DATA_DIR": str(data_dir), "PORT": str(self.port), **environment}
        self._environment = {**kept, **{f"SYNTHORAX_{name}": v for name, v in own.items()}}
        # A connection for each thread of a test.
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=WAIT_SECONDS,
            limits=httpx.Limits(max_connections=None),
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.data_dir / "log").read_text()

    def start(self) -> None:
        with open(self.data_dir / "log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app"],
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end; returns the exit status."""
        assert self.process is not None
        return self.process.wait(timeout=WAIT_SECONDS)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.signal()
        return self.ended()

    def close(self) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def generate(self, accept: str = "application/json", **request: Any) -> httpx.Response:
        """POST /generate, whatever it answers."""
        return self.http.post("/generate", json=request, headers={"Accept": accept})

    def images(self, **request: Any) -> list[dict[str, Any]]:
        """The images of a JSON answer."""
        answer = self.generate(**request)
        assert answer.status_code == 200, answer.text
        images: list[dict[str, Any]] = answer.json()["images"]
        return images

    def png(self, **request: Any) -> bytes:
        """One image as a file."""
        answer = self.generate("image/png", **request)
        assert answer.status_code == 200, answer.text
        return answer.content

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def idle(self) -> bool:
        """Nothing waits."""
        return self.metric("synthorax_queue_images") == self.metric("synthorax_queue_requests") == 0


class Reader(threading.Thread):
    """Reads a streamed answer as it comes, in constant memory, until its end or `leave`."""

    def __init__(self, api: Api, **request: Any) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.ended: str | None = None  # "whole", "cut" or "left"
        self._api = api
        self._request = request
        self._leaving = threading.Event()

    def run(self) -> None:
        headers = {"Accept": "application/zip"}
        try:
            with self._api.http.stream(
                "POST", "/generate", json=self._request, headers=headers
            ) as answer:
                assert answer.status_code == 200
                for data in answer.iter_raw():
                    self.bytes += len(data)
                    if self._leaving.is_set():
                        self.ended = "left"
                        return
            self.ended = "whole"
        except httpx.RemoteProtocolError:  # the chunk that ends an answer never came
            self.ended = "cut"

    def leave(self) -> None:
        self._leaving.set()
        self.join(WAIT_SECONDS)
        assert not self.is_alive()


@contextlib.contextmanager
def serving(data_dir: Path, models: Path, **environment: str) -> Iterator[Api]:
    """An API on a copy of `models`; what it wrote to its log is shown when a test fails."""
    shutil.copytree(models, data_dir / "models")
    api = Api(data_dir, **environment)
    api.start()
    try:
        yield api
    finally:
        api.close()
        sys.stderr.write(api.log)


def pixels(file: bytes) -> Levels:
    """Grey levels (h, w) of a PNG, JPEG or WebP, whose colours are all grey."""
    with Image.open(io.BytesIO(file)) as image:
        levels = np.asarray(image)
    if levels.ndim == 3:
        assert (levels == levels[:, :, :1]).all()
        levels = levels[:, :, 0]
    return levels


def file_of(image: dict[str, Any]) -> bytes:
    """The PNG of an image in a JSON answer."""
    return base64.b64decode(image["png"])


def facts_of(png: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        facts: dict[str, Any] = json.loads(image.info["synthorax"])
    return facts


def holds(seconds: float, condition: Any) -> bool:
    """Whether a condition is true now and for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.05)
    return True
