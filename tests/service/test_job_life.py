"""What may be wished of a job: priority, labels, clone, resume, delete, sending twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.service.alone import Api
from tests.service.conftest import Service, run_training, train_request, wait_until
from tests.service.test_train_jobs import follow
from tests.valkey import Server

LONG = 5000  # epochs: more than a test waits for


@pytest.fixture
def busy(service: Service, dataset: Path) -> Iterator[str]:
    """A job that keeps the one training worker."""
    job = service.train(dataset, epochs=LONG, checkpoint_seconds=1)["id"]
    wait_until(lambda: service.job(job)["progress"] is not None)
    yield job
    service.http.post(f"/train-jobs/{job}/cancel")
    service.ended(job)


def post(service: Service, path: str, body: Any = None, key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return service.http.post(path, json={} if body is None else body, headers=headers)


def newest(service: Service, job: str) -> Path:
    return max((service.data_dir / "runs" / job / "checkpoints").glob("*.safetensors"))


def assert_same_weights(one: Path, other: Path) -> None:
    assert one.name == other.name
    mine, theirs = load_file(one), load_file(other)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.tobytes() == theirs[name].tobytes(), name


def test_a_job_queues_by_priority_and_says_what_it_waits_for(
    service: Service, dataset: Path, busy: str
) -> None:
    jobs = {}
    for priority in ("low", "normal", "high"):
        body = {**train_request(dataset), "priority": priority, "labels": [f"for-{priority}"]}
        jobs[priority] = post(service, "/train-jobs", body).json()["id"]
    order = [
        service.job(jobs[priority])["queue_position"] for priority in ("high", "normal", "low")
    ]
    assert order == [0, 1, 2]
    waiting = service.job(jobs["normal"])["waiting"]
    assert waiting["reason"] == "waiting behind 2 jobs"
    assert waiting["starts_in_seconds"] is None or waiting["starts_in_seconds"] >= 0
    assert service.job(jobs["high"])["waiting"]["starts_in_seconds"] > 0
    found = service.http.get("/train-jobs?label=for-low").json()["data"]
    assert [job["id"] for job in found] == [jobs["low"]]
    assert service.http.get("/train-jobs?label=for-none").json()["data"] == []

    there = {w["queue"]: w for w in service.http.get("/workers").json()["data"]}
    assert there["training"]["job"] == busy
    assert there["light"]["job"] is None
    assert service.job(busy)["worker"] == there["training"]["name"]
    service.http.post(f"/train-jobs/{busy}/cancel")
    starts = {name: service.ended(job)["started_at"] for name, job in jobs.items()}
    assert starts["high"] < starts["normal"] < starts["low"]


def test_a_cancelled_job_goes_on_and_ends_as_if_it_never_was(
    service: Service, dataset: Path, tmp_path: Path
) -> None:
    config = {"seed": 12, "checkpoint_seconds": 0.1}
    job = service.train(dataset, epochs=LONG, **config)["id"]
    assert post(service, f"/train-jobs/{job}/resume").status_code == 409
    wait_until(lambda: (service.job(job)["progress"] or {}).get("epoch", 0) > 2)
    again = post(service, f"/train-jobs/{job}/resume")
    assert again.status_code == 409
    assert "running" in again.json()["detail"]
    service.http.post(f"/train-jobs/{job}/cancel")
    done = service.ended(job)["progress"]["epoch"]
    fewer = post(service, f"/train-jobs/{job}/resume", {"epochs": 1})
    assert fewer.status_code == 422
    assert fewer.json()["errors"][0]["field"] == "epochs"
    wrong = post(service, f"/train-jobs/{job}/resume", {"batch_size": 4, "epochs": 0})
    assert {error["field"] for error in wrong.json()["errors"]} == {"batch_size", "epochs"}

    answer = post(service, f"/train-jobs/{job}/resume", {"epochs": done + 3})
    assert answer.status_code == 202
    assert answer.json()["config"]["epochs"] == done + 3
    ended = service.ended(job)
    assert ended["status"] == "succeeded", ended["error"]
    assert ended["progress"]["fraction"] == 1
    run_training(train_request(dataset, epochs=done + 3, **config), tmp_path)
    (undisturbed,) = (tmp_path / "run" / "checkpoints").glob(newest(service, job).name)
    assert_same_weights(newest(service, job), undisturbed)
    # A reader of the events sees both ends, and the stream ends after the second.
    ends = [e["status"] for _, e in follow(service, job) if e["type"] == "status"]
    assert [s for s in ends if s in ("cancelled", "succeeded")] == ["cancelled", "succeeded"]

    # An ended job goes on for more epochs; without any there is nothing to do.
    assert post(service, f"/train-jobs/{job}/resume").status_code == 409
    assert post(service, f"/train-jobs/{job}/resume", {"epochs": done + 4}).status_code == 202
    more = service.ended(job)
    assert more["status"] == "succeeded"
    assert more["model"] != ended["model"]


def test_a_resume_is_refused_when_the_folder_is_gone(
    service: Service, dataset: Path, roots: Path
) -> None:
    folder = roots / "moved"
    shutil.copytree(dataset, folder)
    job = service.train(folder, epochs=LONG)["id"]
    wait_until(lambda: service.job(job)["progress"] is not None)
    service.http.post(f"/train-jobs/{job}/cancel")
    service.ended(job)
    folder.rename(roots / "elsewhere")
    refused = post(service, f"/train-jobs/{job}/resume")
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["field"] == "dataset.path"
    assert service.job(job)["status"] == "cancelled"


@pytest.mark.usefixtures("busy")
def test_a_clone_differs_where_it_is_told_to(service: Service, dataset: Path) -> None:
    body = {**train_request(dataset, epochs=3), "metadata": {"who": "me"}, "labels": ["first"]}
    origin = post(service, "/train-jobs", {**body, "priority": "low"}).json()
    made = post(service, f"/train-jobs/{origin['id']}/clone", {"config": {"epochs": 4}})
    assert made.status_code == 202
    clone = made.json()
    assert made.headers["Location"] == f"/train-jobs/{clone['id']}"
    assert clone["cloned_from"] == origin["id"]
    assert clone["config"] == {**origin["config"], "epochs": 4}
    for same in ("metadata", "labels", "priority", "publish_as", "preset", "dataset"):
        assert clone[same] == origin[same], same
    other = post(
        service,
        f"/train-jobs/{origin['id']}/clone",
        {"model": "other", "labels": [], "config": {"seed": None}},
    ).json()
    assert (other["publish_as"], other["labels"]) == ("other", [])
    assert other["config"]["seed"] != origin["config"]["seed"]
    wrong = post(service, f"/train-jobs/{origin['id']}/clone", {"config": {"epochs": 0}})
    assert wrong.status_code == 422
    for job in (origin, clone, other):
        service.http.post(f"/train-jobs/{job['id']}/cancel")


def test_an_ended_job_can_be_deleted_with_its_run_folder(
    service: Service, dataset: Path, busy: str
) -> None:
    assert service.http.delete(f"/train-jobs/{busy}").status_code == 409
    waiting = service.train(dataset)["id"]
    assert service.http.delete(f"/train-jobs/{waiting}").status_code == 409
    service.http.post(f"/train-jobs/{waiting}/cancel")
    assert (service.data_dir / "runs" / waiting).is_dir()
    assert service.http.delete(f"/train-jobs/{waiting}").status_code == 204
    assert not list((service.data_dir / "runs").glob(f"*{waiting}*"))
    for path in ("", "/events", "/metrics"):
        assert service.http.get(f"/train-jobs/{waiting}{path}").status_code == 404
    assert service.http.delete(f"/train-jobs/{waiting}").status_code == 404
    listed = service.http.get("/train-jobs?limit=200").json()["data"]
    assert waiting not in [job["id"] for job in listed]


@pytest.mark.usefixtures("busy")
def test_a_request_that_is_sent_again_makes_no_second_job(service: Service, dataset: Path) -> None:
    body = train_request(dataset)
    first = post(service, "/train-jobs", body, key="once").json()
    again = post(service, "/train-jobs", body, key="once")
    assert again.status_code == 202
    assert again.json()["id"] == first["id"]
    assert again.headers["Location"] == f"/train-jobs/{first['id']}"
    other = post(service, "/train-jobs", train_request(dataset, epochs=9), key="once")
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert post(service, "/train-jobs", body, key="twice").json()["id"] != first["id"]
    assert post(service, "/train-jobs", body, key="two words").status_code == 422
    clone = post(service, f"/train-jobs/{first['id']}/clone", key="once").json()
    assert clone["id"] != first["id"]
    same = post(service, f"/train-jobs/{first['id']}/clone", key="once").json()
    assert same["id"] == clone["id"]

    service.http.post(f"/train-jobs/{first['id']}/cancel")
    assert service.http.delete(f"/train-jobs/{first['id']}").status_code == 204
    gone = post(service, "/train-jobs", body, key="once")
    assert gone.status_code == 409
    assert "deleted" in gone.json()["detail"]
    for job in service.http.get("/train-jobs?status=queued").json()["data"]:
        service.http.post(f"/train-jobs/{job['id']}/cancel")


def test_a_job_is_stopped_at_its_time_and_goes_on_when_told(
    service: Service, dataset: Path
) -> None:
    body = {**train_request(dataset, epochs=LONG), "max_seconds": 4}
    job = post(service, "/train-jobs", body).json()["id"]
    ended = service.ended(job)
    assert ended["status"] == "failed"
    assert ended["error"]["type"].endswith("time-limit")
    assert ended["ran_seconds"] >= 4
    assert newest(service, job).is_file()
    changes = {"max_seconds": None, "epochs": ended["progress"]["epoch"] + 1}
    assert post(service, f"/train-jobs/{job}/resume", changes).status_code == 202
    ended = service.ended(job)
    assert ended["status"] == "succeeded", ended["error"]
    assert ended["max_seconds"] is None


def test_queued_without_a_worker_is_told_apart(
    tmp_path: Path, roots: Path, dataset: Path, tiny_models: Path
) -> None:
    with Server(tmp_path / "redis") as server:
        with Api(tmp_path, tiny_models, redis_url=server.url, dataset_roots=roots) as api:
            answer = api.http.post("/train-jobs", json=train_request(dataset))
            job = answer.json()
            assert job["queue_position"] == 0
            assert "no training worker is connected" in job["waiting"]["reason"]
            assert job["waiting"]["starts_in_seconds"] is None
            assert api.http.get("/workers").json() == {"data": []}
