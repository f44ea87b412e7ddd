"""Each image is built and does its work as its user on a read-only root.

python -m pytest -m long -s tests/containers      as root, with buildah and debootstrap
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from library.keys import new_key
from tests.containers import building, running
from tests.containers.building import Image, Store
from tests.containers.running import Container, volume
from tests.evaluation.pictures import split_folders
from tests.namespaces import Namespace, namespace
from tests.service.conftest import TINY, wait_until
from tests.valkey import Listening

pytestmark = pytest.mark.long
TARGETS = ("api-cpu", "worker", "api")
PASSWORD = token_hex(16)
KEY, SECRET = new_key("test", "admin")
_LOOK = "import importlib.util as i, sys; sys.exit(i.find_spec('torch') is not None)"


@pytest.fixture(scope="module")
def images() -> Iterator[dict[str, Image]]:
    tools = (*building.TOOLS, *running.TOOLS)
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"images are built and started by root, with {', '.join(tools)}")
    with tempfile.TemporaryDirectory(prefix="synthorax-images-") as folder:
        store = Store(Path(os.environ.get("SYNTHORAX_TEST_IMAGES", folder)))
        try:
            began = time.monotonic()
            store.base()
            print(f"\n| stand-in for the base | | {time.monotonic() - began:.0f} s |")
            found = {}
            for target in TARGETS:
                began = time.monotonic()
                found[target] = store.build(target)
                seconds = time.monotonic() - began
                print(f"| {target} | {found[target].size / 1e6:.0f} MB | {seconds:.0f} s |")
            yield found
        finally:
            store.close()


@dataclass
class Deployment:
    """Containers of one network and one volume, as compose starts them."""

    network: Namespace
    folder: Path
    data: Path
    environment: dict[str, str]

    def start(self, image: Image, name: str, *command: str, **settings: str) -> Container:
        return Container(
            image, self.network, self.data, self.folder / "images", self.folder / f"{name}.log",
            {**self.environment, **settings}, command,
        )  # fmt: skip

    def call(self, path: str, body: Any = None, accept: str = "application/json") -> bytes:
        """A request from inside the network.  Raises CalledProcessError on an error's status."""
        sent = [] if body is None else ["--header", "Content-Type: application/json",
                                        "--data", json.dumps(body)]  # fmt: skip
        command = ["curl", "--silent", "--show-error", "--fail-with-body", *sent, "--header",
                   f"Authorization: Bearer {SECRET}", "--header", f"Accept: {accept}",
                   f"http://127.0.0.1:8000{path}"]  # fmt: skip
        return subprocess.run(
            [*self.network.prefix, *command], check=True, capture_output=True
        ).stdout  # fmt: skip

    def ask(self, path: str, body: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call(path, body))
        return found

    def answers(self, path: str) -> bool:
        try:
            self.call(path)
        except subprocess.CalledProcessError:
            return False
        return True


@pytest.fixture
def deployment(images: dict[str, Image], tmp_path: Path) -> Iterator[Deployment]:
    data = volume(images["api-cpu"], tmp_path / "volume")
    split_folders(tmp_path / "images" / "chests")
    with namespace() as network, Listening(tmp_path / "q", "127.0.0.1", PASSWORD, network) as queue:
        yield Deployment(
            network,
            tmp_path,
            data,
            {
                "SYNTHORAX_REDIS_URL": queue.url,
                "SYNTHORAX_DATASET_ROOTS": "/images",
                "SYNTHORAX_DEVICE": "cpu",
                "SYNTHORAX_TRAIN_DEVICE": "cpu",
                "SYNTHORAX_API_KEYS": KEY.entry,
                "SYNTHORAX_REPORT_COUNT": "200",
            },
        )


def test_the_small_image_has_no_torch(images: dict[str, Image]) -> None:
    for target, image in images.items():
        look = ["chroot", str(image.root), "/opt/venv/bin/python3", "-c", _LOOK]
        assert subprocess.run(look, check=False).returncode == (target != "api-cpu")
    assert images["api-cpu"].size < images["api"].size / 2
    assert not list((images["api-cpu"].root / "opt/venv").rglob("nvidia*"))


@pytest.mark.parametrize("target", ["api-cpu", "api"])
def test_an_api_samples_on_a_read_only_root(
    deployment: Deployment, images: dict[str, Image], target: str
) -> None:
    api = deployment.start(images[target], "api")
    try:
        wait_until(lambda: ready(deployment, api))
        assert not (unwell := api.health()), unwell
        picture = deployment.call("/generate", {"seed": 42}, "image/png")
        assert picture.startswith(b"\x89PNG")
        assert deployment.call("/generate", {"seed": 42}, "image/png") == picture
        assert_confined(api)
        assert api.stop() == 0
    finally:
        api.close()
    assert "Traceback" not in api.log.read_text()


def test_a_dataset_becomes_a_model_with_a_report_by_the_images(
    deployment: Deployment, images: dict[str, Image]
) -> None:
    parts = [
        api := deployment.start(images["api-cpu"], "api"),
        worker := deployment.start(images["worker"], "worker"),
        light := deployment.start(images["worker"], "light", "python3", "-m", "worker", "light"),
    ]
    try:
        wait_until(lambda: ready(deployment, api) and not worker.health() and not light.health())
        choices = {"patient": r"(?:^|/)p(\d+)_"}
        made = deployment.ask("/datasets", {"path": "/images/chests", "choices": choices})
        address = f"/datasets/{made['id']}"
        wait_until(lambda: deployment.ask(address)["status"] != "validating")
        assert deployment.ask(address)["status"] == "ready"
        config = {**TINY, "epochs": 1, "conditional": True}
        body = {"dataset": made["id"], "model": "tiny", "config": config}
        address = f"/train-jobs/{deployment.ask('/train-jobs', body)['id']}"
        wait_until(lambda: deployment.ask(address)["finished_at"] is not None)
        assert deployment.ask(address)["status"] == "succeeded", worker.told()
        picture = deployment.call("/generate", {"model": "tiny@1", "seed": 1}, "image/png")
        assert picture.startswith(b"\x89PNG")
        done = ("complete", "failed")
        wait_until(lambda: reports(deployment)[0]["status"] in done, seconds=900)
        assert reports(deployment)[0]["status"] == "complete", light.told()
        for part in (worker, light):
            assert_confined(part)
        for part in parts:
            assert part.stop() == 0, part.told()
            assert "Warning" not in part.log.read_text()
            assert "Traceback" not in part.log.read_text()
    finally:
        for part in parts:
            part.close()
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in deployment.data.rglob("*")}
    assert owners == {(10001, 10001)}


def ready(deployment: Deployment, api: Container) -> bool:
    assert api.alive(), api.told()
    return deployment.answers("/health/ready")


def reports(deployment: Deployment) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployment.ask("/models/tiny@1/reports")["data"]
    return found


def assert_confined(part: Container) -> None:
    """A number as its user, no capability, none to be had, and two places to write to."""
    told = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{part.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert set(told["Uid"].split()) == set(told["Gid"].split()) == {"10001"}
    assert not told["Groups"].split()
    assert told["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(told[kind], 16) == 0
    for place in ("/", "/srv/synthorax", "/opt/venv", "/images", "/etc", "/dev"):
        assert part.run("touch", f"{place}/written").returncode != 0
    for place in ("/tmp", "/data", "/dev/shm"):  # noqa: S108
        assert part.run("sh", "-c", f"echo > {place}/written && rm {place}/written").returncode == 0
