"""Datasets are validated by the light worker, also while every training worker is busy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from library.datasets.choices import WHOLE
from library.datasets.records import begin, dataset_id, read_record
from library.settings import Settings
from tests.faults.cluster import commands
from tests.service.conftest import Service, wait_until
from tests.sets import picture
from tests.valkey import Server
from worker import keys
from worker.light import DatasetSweeper, validate_dataset
from worker.queue import celery_app, enqueue_validation


def validated(service: Service, folder: Path, **more: Any) -> dict[str, Any]:
    answer = service.http.post("/datasets", json={"path": str(folder), **more})
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "validating"
    address = answer.headers["Location"]
    wait_until(lambda: service.http.get(address).json()["status"] != "validating")
    found: dict[str, Any] = service.http.get(address).json()
    return found


def test_a_folder_is_validated_while_a_job_trains(
    service: Service, dataset: Path, roots: Path
) -> None:
    job = service.train(dataset, epochs=5000)["id"]
    wait_until(lambda: service.job(job)["progress"] is not None)
    folder = roots / "to-validate"
    shutil.copytree(dataset, folder)
    (folder / "NORMAL" / "letter.png").write_text("text")
    found = validated(service, folder, name="Ward 3")
    assert service.job(job)["status"] == "running"
    assert found["status"] == "ready"
    assert found["name"] == "Ward 3"
    assert found["images"] == 24
    assert {label: n["images"] for label, n in found["labels"].items()} == {
        "NORMAL": 12,
        "PNEUMONIA": 12,
    }
    assert [refused["file"] for refused in found["refused"]] == ["NORMAL/letter.png"]
    assert len(found["fingerprint"]) == 64
    assert found["progress"] is None
    # Mended and validated again.
    (folder / "NORMAL" / "letter.png").unlink()
    assert validated(service, folder)["refused"] == []
    service.http.post(f"/train-jobs/{job}/cancel")
    service.ended(job)


def test_wrong_folders_are_refused(service: Service, roots: Path) -> None:
    (roots / "nothing").mkdir(exist_ok=True)
    for body, field in (
        ({"path": str(roots / "nothing")}, "path"),
        ({"path": "/etc"}, "path"),
        ({"path": str(roots), "nam": "x"}, "nam"),
        ({}, "path"),
    ):
        refused = service.http.post("/datasets", json=body)
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["field"] == field


def test_a_killed_validation_is_done_by_the_next_light_worker(
    own_service: Service, roots: Path
) -> None:
    folder = roots / "many"
    for number in range(1500):  # long enough to be killed in
        picture(folder / "A" / f"{number}.png", number)
    answer = own_service.http.post("/datasets", json={"path": str(folder)})
    address = answer.headers["Location"]
    wait_until(lambda: own_service.http.get(address).json()["progress"] is not None)
    mine = f"SYNTHORAX_DATA_DIR={own_service.data_dir}\0"
    killed = 0
    for pid, line in commands():
        with contextlib.suppress(OSError):  # it ended while we looked
            if "worker\0light" in line and mine in Path(f"/proc/{pid}/environ").read_text():
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed
    wait_until(lambda: own_service.http.get(address).json()["status"] == "ready")
    assert own_service.http.get(address).json()["images"] == 1500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def test_what_ends_each_worker_fails_at_last(server: Server, tmp_path: Path, dataset: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=server.url, attempts_max=3)
    identity = dataset_id(dataset)
    begin(tmp_path, dataset, WHOLE)
    redis: Any = server.client()
    redis.set(keys.dataset_attempts(identity), 3)  # as three workers left it that were killed
    validate_dataset(identity, server.client(), settings)
    record = read_record(tmp_path, identity)
    assert record["status"] == "failed"
    assert record["error"]["type"].endswith("poison")
    assert not redis.exists(keys.dataset_attempts(identity), keys.dataset_lease(identity))


def test_one_of_two_workers_validates(server: Server, tmp_path: Path, dataset: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=server.url)
    identity = dataset_id(dataset)
    begin(tmp_path, dataset, WHOLE)
    redis: Any = server.client()
    redis.set(keys.dataset_lease(identity), "another", ex=60)
    validate_dataset(identity, server.client(), settings)
    assert read_record(tmp_path, identity)["status"] == "validating"

    # And one that nobody holds, and that has no message, is sent again at the second look.
    redis.delete(keys.dataset_lease(identity))
    sent: list[str] = []
    sweeper = DatasetSweeper(server.client(), settings, sent.append)
    left = tmp_path / "datasets" / ".deleted-ds-0123456789ab-1"
    left.mkdir()
    sweeper.sweep()
    assert not left.exists()
    assert sent == []
    sweeper.sweep()
    assert sent == [identity]
    enqueue_validation(celery_app(settings), identity)
    for _ in range(3):
        sweeper.sweep()
    assert sent == [identity]
