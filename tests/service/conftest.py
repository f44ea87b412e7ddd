"""The real service: `synthorax serve` on a folder of its own, with a tiny model."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.service.browser import chromium, visiting

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "tests" / "data" / "chest_xray"
# A net that trains 24 images in a blink; precision and threads fixed, so that nothing is probed.
TINY: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "generator_width": 8,
    "discriminator_width": 8,
    "precision": "float32",
    "threads": 1,
    "seed": 7,
}
WAIT_SECONDS = 180  # bounds a wait; no test is about how long anything takes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """`synthorax serve` as a process of its own."""

    def __init__(self, data_dir: Path, roots: Path, environment: Mapping[str, str] = {}) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # The devices may be chosen from outside: these tests run on a GPU too.
        devices = ("SYNTHORAX_DEVICE", "SYNTHORAX_TRAIN_DEVICE")
        kept = {
            k: v for k, v in os.environ.items() if k in devices or not k.startswith("SYNTHORAX_")
        }
        self.environment = {
            **kept,
            "SYNTHORAX_DATA_DIR": str(data_dir),
            "SYNTHORAX_DATASET_ROOTS": str(roots),
            "SYNTHORAX_PORT": str(self.port),
            "SYNTHORAX_URL": self.url,
            "SYNTHORAX_REPORT_COUNT": "50",  # the least: a report takes minutes else
            **environment,
        }
        self.words: Path | None = None  # a file for what `serve` writes to stderr
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        if self.words is None:
            self.process = self.command("serve")
        else:
            with open(self.words, "ab") as words:
                self.process = self.command("serve", stderr=words)
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.process.communicate()
        try:
            answer = self.http.get("/health/ready")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and all(answer.json()["checks"]["workers"].values())

    def command(
        self, *arguments: str, folder: Path | None = None, stderr: Any = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """A `synthorax` command on this service; in its data folder, if no other is given."""
        return subprocess.Popen(
            [sys.executable, "-c", "from synthorax.cli import main; main()", *arguments],
            env=self.environment,
            cwd=folder or self.data_dir,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop `serve`; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode

    def close(self) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def train(self, dataset: Path, **config: Any) -> dict[str, Any]:
        """Queue a tiny job on a folder."""
        answer = self.http.post("/train-jobs", json=train_request(dataset, **config))
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        assert answer.headers["Location"] == f"/train-jobs/{job['id']}"
        return job

    def job(self, job: str) -> dict[str, Any]:
        record: dict[str, Any] = self.http.get(f"/train-jobs/{job}").json()
        return record

    def ended(self, job: str) -> dict[str, Any]:
        """Wait for a job to end; returns it."""
        wait_until(lambda: self.job(job)["finished_at"] is not None)
        return self.job(job)

    def trainer(self, job: str) -> int | None:
        """The process id of the job's trainer, if one is alive."""
        wanted = f"runs/{job}/request.json"
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "cmdline").read_text():
                    return int(entry.name)
            except OSError:  # it ended while we looked
                continue
        return None


def train_request(dataset: Path, **config: Any) -> dict[str, Any]:
    return {
        "dataset": {"path": str(dataset)},
        "model": "tiny",
        "preset": "quick",
        "config": {**TINY, **config},
    }


def wait_until(condition: Any, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def run_training(request: dict[str, Any], folder: Path) -> Path:
    """Train without any service; returns the run folder."""
    path = folder / "request.json.given"
    run = folder / "run"
    content = {**request, "run": str(run), "data_dir": str(folder)}
    path.write_text(json.dumps(content))
    command = [sys.executable, "-m", "training", "run", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return run


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset root with a copy of the tiny real images."""
    root = tmp_path_factory.mktemp("roots")
    shutil.copytree(IMAGES, root / "chest_xray")
    return root


@pytest.fixture(scope="session")
def dataset(roots: Path) -> Path:
    return roots / "chest_xray"


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory, dataset: Path, worker_id: str) -> Path:
    """A library with tiny@1 (no classes) and tiny@2 (conditional), trained for real.

    Once for all processes of the tests: whoever comes first trains, the others wait.
    """
    if worker_id == "master":
        return _tiny_models(tmp_path_factory.mktemp("models"), dataset)
    folder = tmp_path_factory.getbasetemp().parent / "models"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if not done.exists():
            done.symlink_to(_tiny_models(Path(mkdtemp(dir=folder)), dataset))
        return done.resolve()


def _tiny_models(folder: Path, dataset: Path) -> Path:
    for name, conditional in (("plain", False), ("classes", True)):
        (folder / name).mkdir()
        run_training(train_request(dataset, conditional=conditional), folder / name)
    shutil.move(folder / "classes" / "models" / "tiny" / "1", folder / "plain/models/tiny/2")
    card = folder / "plain/models/tiny/2/model.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "version": 2}))
    return folder / "plain" / "models"


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, roots: Path, tiny_models: Path
) -> Iterator[Service]:
    """A running service, shared by the tests of a module."""
    data_dir = tmp_path_factory.mktemp("data")
    shutil.copytree(tiny_models, data_dir / "models")
    running = Service(data_dir, roots)
    running.start()
    try:
        yield running
        assert running.stop() == 0
    finally:
        running.close()


@pytest.fixture
def own_service(tmp_path: Path, roots: Path, tiny_models: Path) -> Iterator[Service]:
    """A running service of one test, which may break it."""
    shutil.copytree(tiny_models, tmp_path / "models")
    running = Service(tmp_path, roots)
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with visiting(browser) as opened:
        yield opened
