"""Limits of a job, and a job in several processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.service.conftest import Service, train_request, wait_until


def kill_trainer(service: Service, job: str, after: int | None = None) -> int:
    """Kill a job's trainer, another than the one before, once there is one; returns it."""

    def another() -> bool:
        return service.trainer(job) not in (None, after)

    wait_until(another)
    trainer = service.trainer(job)
    assert trainer is not None
    os.kill(trainer, signal.SIGKILL)
    return trainer


def test_a_job_that_ends_whoever_runs_it_fails_with_the_reasons(
    tmp_path: Path, roots: Path, dataset: Path
) -> None:
    service = Service(tmp_path, roots, {"SYNTHORAX_ATTEMPTS_MAX": "2"})
    try:
        service.start()
        job = service.train(dataset, epochs=5000, checkpoint_seconds=600)["id"]
        first = kill_trainer(service, job)
        wait_until(lambda: service.job(job)["attempt"] == 2)
        kill_trainer(service, job, first)
        ended = service.ended(job)
        assert ended["status"] == "failed"
        assert ended["error"]["type"].endswith("poison")
        assert "attempt 1: its trainer ended by signal 9" in ended["error"]["detail"]
        assert "/resume" in ended["error"]["detail"]
        assert [end["attempt"] for end in ended["ends"]] == [1, 2]

        # Told to go on, it has all its attempts again.
        assert service.http.post(f"/train-jobs/{job}/resume", json={"epochs": 3}).status_code == 202
        assert service.ended(job)["status"] == "succeeded"
    finally:
        service.close()


def test_a_trainer_that_takes_too_much_is_stopped_and_a_batch_that_fits_is_named(
    tmp_path: Path, roots: Path, dataset: Path
) -> None:
    service = Service(tmp_path, roots, {"SYNTHORAX_TRAIN_MEMORY_MB": "665"})
    try:
        service.start()
        # 24 images of 256 pixels through these networks take about 700 MiB.
        large = {"resolution": 256, "generator_width": 16, "discriminator_width": 16}
        job = service.train(dataset, **large, batch_size=24)["id"]
        ended = service.ended(job)
        assert ended["status"] == "failed"
        assert ended["error"]["type"].endswith("out-of-memory")
        assert "SYNTHORAX_TRAIN_MEMORY_MB=665" in ended["error"]["detail"]
        fits = ended["error"]["suggestion"]["batch_size"]
        assert 2 <= fits < 24
        changes = {"config": {"batch_size": fits, "epochs": 1}}
        clone = service.http.post(f"/train-jobs/{job}/clone", json=changes).json()
        ended = service.ended(clone["id"])
        assert ended["status"] == "succeeded", ended["error"]
    finally:
        service.close()


def test_a_job_in_two_processes(tmp_path: Path, roots: Path, dataset: Path) -> None:
    service = Service(tmp_path, roots, {"SYNTHORAX_TRAIN_PROCESSES": "2"})
    try:
        service.start()
        odd = service.http.post("/train-jobs", json=train_request(dataset, batch_size=7))
        assert odd.status_code == 422
        assert "multiple of 2" in odd.json()["detail"]
        job = service.train(dataset, epochs=500, checkpoint_seconds=0.2)["id"]
        wait_until(lambda: (service.job(job)["progress"] or {}).get("epoch", 0) > 2)
        trainer = service.trainer(job)
        assert trainer is not None
        os.kill(trainer, signal.SIGKILL)  # one of them, or who started them
        wait_until(lambda: service.job(job)["attempt"] == 2)
        service.http.post(f"/train-jobs/{job}/finish")
        ended = service.ended(job)
        assert ended["status"] == "succeeded", ended["error"]
        environment = service.data_dir / "runs" / job / "environment.json"
        assert json.loads(environment.read_text())["processes"] == 2
        wait_until(lambda: service.trainer(job) is None)
        (worker,) = (
            w for w in service.http.get("/workers").json()["data"] if w["queue"] == "training"
        )
        assert worker["processes"] == 2
    finally:
        service.close()
