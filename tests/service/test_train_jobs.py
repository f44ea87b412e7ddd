"""POST /train-jobs through a real worker: live events, resume after kill -9, cancel, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.numpy import load_file

from tests.service.conftest import TINY, Service, run_training, train_request, wait_until

NUMBERS = {"loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2"}


def follow(service: Service, job: str, after: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Events by SSE until the stream ends: (id, event)."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
    events = []
    fields: dict[str, str] = {}
    with service.http.stream("GET", f"/train-jobs/{job}/events", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                assert fields["event"] == json.loads(fields["data"])["type"]
                events.append((fields["id"], json.loads(fields["data"])))
                fields = {}
    return events


def test_a_job_from_request_to_samples(service: Service, dataset: Path) -> None:
    job = service.train(dataset, epochs=3)
    assert job["status"] in ("queued", "running")
    assert job["config"]["seed"] == TINY["seed"]
    events = follow(service, job["id"])  # live: the job has only begun
    kinds = [event["type"] for _, event in events]
    assert {"status", "metric", "sample", "checkpoint", "log"} >= set(kinds)
    epochs = [e for _, e in events if e["type"] == "metric" and e["scope"] == "epoch"]
    assert [e["epoch"] for e in epochs] == [1, 2, 3]
    for event in epochs:
        assert set(event) >= NUMBERS | {"images_per_second", "eta_seconds"}
        assert 0 <= event["d_x"] <= 1
    assert events[-1][1]["status"] == "succeeded"

    ended = service.job(job["id"])
    assert ended["model"] == events[-1][1]["model"]
    assert ended["progress"]["fraction"] == 1
    made = service.http.post("/generate", json={"model": ended["model"], "count": 3, "seed": 1})
    assert made.status_code == 200
    assert len(made.json()["images"]) == 3

    # A reader that lost its connection goes on where it was: nothing lost, nothing twice.
    middle = len(events) // 2
    assert follow(service, job["id"], events[middle][0]) == events[middle + 1 :]
    assert follow(service, job["id"], events[-1][0]) == []
    page = service.http.get(f"/train-jobs/{job['id']}/events?limit=2").json()
    assert page["has_more"] is True
    assert [e["id"] for e in page["data"]] == [identity for identity, _ in events[:2]]

    lines = service.http.get(f"/train-jobs/{job['id']}/metrics?scope=epoch").json()["data"]
    assert [line["loss_d"] for line in lines] == [e["loss_d"] for e in epochs]
    table = service.http.get(f"/train-jobs/{job['id']}/metrics", headers={"Accept": "text/csv"})
    assert "loss_d" in table.text.splitlines()[0]
    grid = service.http.get(f"/train-jobs/{job['id']}/samples/3.png")
    assert grid.content.startswith(b"\x89PNG")
    assert service.http.get(f"/train-jobs/{job['id']}/samples/9.png").status_code == 404
    listed = service.http.get("/train-jobs?status=succeeded&limit=1").json()["data"]
    assert listed[0]["id"] == job["id"]


def test_a_killed_trainer_goes_on_and_ends_in_the_same_weights(
    service: Service, dataset: Path, tmp_path: Path
) -> None:
    config = {"epochs": 30, "batch_size": 4, "seed": 11, "checkpoint_seconds": 0.2}
    job = service.train(dataset, **config)["id"]
    folder = service.data_dir / "runs" / job
    wait_until(lambda: len(list((folder / "checkpoints").glob("*.safetensors"))) > 1)
    trainer = service.trainer(job)
    assert trainer is not None
    os.kill(trainer, signal.SIGKILL)
    ended = service.ended(job)
    assert ended["status"] == "succeeded", ended
    assert ended["attempt"] == 2
    messages = [e.get("message", "") for _, e in follow(service, job)]
    assert "signal 9" in ended["ends"][0]["reason"]
    assert any("Resumed" in message for message in messages)

    undisturbed = run_training(train_request(dataset, **config), tmp_path)
    newest = [max((f / "checkpoints").glob("*.safetensors")) for f in (folder, undisturbed)]
    assert newest[0].name == newest[1].name
    mine, theirs = (load_file(path) for path in newest)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.tobytes() == theirs[name].tobytes(), name


def test_cancel_queued_running_and_ended(service: Service, dataset: Path) -> None:
    running = service.train(dataset, epochs=5000)["id"]
    waiting = service.train(dataset)["id"]
    wait_until(lambda: service.job(running)["progress"] is not None)
    assert service.job(waiting)["queue_position"] == 0
    assert service.http.post(f"/train-jobs/{waiting}/cancel").json()["status"] == "cancelled"
    assert service.http.post(f"/train-jobs/{running}/cancel").status_code == 202
    assert service.ended(running)["status"] == "cancelled"
    assert service.trainer(running) is None
    assert list((service.data_dir / "runs" / running / "checkpoints").glob("*.safetensors"))
    assert not (service.data_dir / "runs" / waiting / "checkpoints").exists()
    again = service.http.post(f"/train-jobs/{running}/cancel")
    assert again.status_code == 409
    assert "already" in again.json()["detail"]
    assert service.http.post("/train-jobs/job-none/cancel").status_code == 404


def test_refused_files_are_counted_and_named_on_the_dataset_alone(
    service: Service, dataset: Path, roots: Path
) -> None:
    folder = roots / "spoilt"
    shutil.copytree(dataset, folder)
    whole = next((folder / "NORMAL").glob("*.jpeg")).read_bytes()
    (folder / "NORMAL" / "smith_john.jpeg").write_bytes(whole[: len(whole) // 2])
    (folder / "PNEUMONIA" / "notes.png").write_text("not a picture")
    job = service.train(folder)
    ended = service.ended(job["id"])
    assert ended["status"] == "succeeded"
    found = service.http.get(ended["links"]["dataset"]).json()
    refused = {entry["file"]: entry["reason"] for entry in found["refused"]}
    assert set(refused) == {"NORMAL/smith_john.jpeg", "PNEUMONIA/notes.png"}
    assert "not an image" in refused["PNEUMONIA/notes.png"]
    assert found["images"] == 24
    events = json.dumps([event for _, event in follow(service, job["id"])])
    assert "2 files are refused, 0 left out" in events
    assert "smith" not in events


def _one_class(roots: Path, dataset: Path) -> Path:
    folder = roots / "one"
    shutil.copytree(dataset / "NORMAL", folder / "NORMAL", dirs_exist_ok=True)
    return folder


def test_wrong_jobs_leave_nothing_behind(service: Service, roots: Path, dataset: Path) -> None:
    empty = roots / "empty"
    empty.mkdir()
    one = _one_class(roots, dataset)
    link = roots / "link"
    link.symlink_to("/etc")
    before = service.http.get("/train-jobs?limit=200").json()["data"]
    recorded = [found["id"] for found in service.http.get("/datasets").json()["data"]]
    cases: list[tuple[dict[str, Any], str, str]] = [
        (train_request(roots / "missing"), "dataset.path", "no folder"),
        (train_request(empty), "dataset.path", "holds no image"),
        (train_request(Path("/etc")), "dataset.path", "not under a dataset root"),
        (train_request(link), "dataset.path", "not under a dataset root"),
        (train_request(roots / ".." / ".."), "dataset.path", "not under a dataset root"),
        (train_request(one, conditional=True), "config.conditional", "one class"),
        (train_request(dataset, batch_size=25), "config.batch_size", "24"),
        (train_request(dataset, batch_size=1), "config.batch_size", "from 2"),
        (train_request(dataset, epochs=True), "config.epochs", "whole number"),
        (train_request(dataset, learning_rate=0), "config.learning_rate", "above 0"),
        (train_request(dataset, resolution=65), "config.resolution", "64, 128"),
        (train_request(dataset, epoch=3), "config.epoch", "epochs"),
        ({**train_request(dataset), "preset": "none"}, "preset", "quick"),
        ({**train_request(dataset), "model": "../x"}, "model", "a-z"),
        ({**train_request(dataset), "modle": "x"}, "modle", "not permitted"),
        ({**train_request(dataset), "dataset": "folder"}, "dataset", "GET /datasets"),
        ({**train_request(dataset), "dataset": {"path": 3}}, "dataset.path", "string"),
        ({**train_request(dataset), "dataset": 3}, "dataset", "dictionary"),
    ]
    for body, field, words in cases:
        answer = service.http.post("/train-jobs", json=body)
        assert answer.status_code == 422, (body, answer.text)
        problem = answer.json()
        assert problem["errors"][0]["field"] == field, problem
        assert words in problem["detail"] + problem["errors"][0]["allowed"], problem
    assert service.http.get("/train-jobs?limit=200").json()["data"] == before
    now = [found["id"] for found in service.http.get("/datasets").json()["data"]]
    assert now == recorded


def test_everything_that_is_wrong_is_told_at_once(service: Service, dataset: Path) -> None:
    body = {
        **train_request(dataset, batch_size=500, learning_rate=0, resolution=100, epoch=3),
        "model": "../x",
        "modle": "x",
        "priority": "now",
        "max_seconds": 0,
        "webhook": "https://example.org/",
    }
    answer = service.http.post("/train-jobs", json=body)
    assert answer.status_code == 422
    errors = {error["field"]: error for error in answer.json()["errors"]}
    assert set(errors) == {
        "config.batch_size",
        "config.learning_rate",
        "config.resolution",
        "config.epoch",
        "model",
        "modle",
        "priority",
        "max_seconds",
        "webhook",
    }
    assert errors["config.batch_size"]["given"] == 500
    assert "at most 24" in errors["config.batch_size"]["allowed"]
    assert "above 0" in errors["config.learning_rate"]["allowed"]
    assert "'high', 'normal' or 'low'" in errors["priority"]["allowed"]
    assert answer.json()["detail"].startswith("9 values are not allowed")
    # The same with a folder that is not there.
    body["dataset"] = {"path": str(dataset / "none")}
    told = {e["field"] for e in service.http.post("/train-jobs", json=body).json()["errors"]}
    assert "dataset.path" in told
    assert "config.batch_size" not in told  # nothing to compare it with


def test_a_dataset_without_one_whole_image_fails_with_the_reason(
    service: Service, roots: Path
) -> None:
    folder = roots / "text" / "NORMAL"
    folder.mkdir(parents=True)
    for i in range(9):
        (folder / f"{i}.png").write_text("not a picture")
    ended = service.ended(service.train(folder.parent)["id"])
    assert ended["status"] == "failed"
    assert "No file of the dataset can be used (9 files: " in ended["error"]["detail"]
    assert ended["attempt"] == 1


def test_redis_gone_jobs_are_away_and_generation_goes_on(
    tmp_path: Path, roots: Path, dataset: Path, tiny_models: Path
) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    away = Service(tmp_path, roots, {"SYNTHORAX_REDIS_URL": f"unix://{tmp_path}/none.sock"})
    process = None
    try:
        process = _api_alone(away)
        wait_until(lambda: _reachable(away))
        assert away.http.post("/generate", json={"model": "tiny@1"}).status_code == 200
        refusal = away.http.post("/train-jobs", json=train_request(dataset))
        assert refusal.status_code == 503
        assert "Retry-After" in refusal.headers
        assert "Redis" in refusal.json()["detail"]
        assert away.http.get("/train-jobs").status_code == 503
        ready = away.http.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["checks"]["redis"]["status"] == "away"
        assert not (tmp_path / "datasets").exists()
    finally:
        if process is not None:
            process.terminate()
            process.wait()
        away.close()


def _api_alone(service: Service) -> Any:
    import subprocess
    import sys

    from tests.service.conftest import ROOT

    return subprocess.Popen([sys.executable, "-m", "app"], env=service.environment, cwd=ROOT)


def _reachable(service: Service) -> bool:
    try:
        return service.http.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_a_stopped_service_takes_its_job_up_again(own_service: Service, dataset: Path) -> None:
    job = own_service.train(dataset, epochs=40, checkpoint_seconds=0.2)["id"]
    wait_until(lambda: (own_service.job(job)["progress"] or {}).get("epoch", 0) > 2)
    assert own_service.stop(signal.SIGINT) == 0
    assert own_service.trainer(job) is None
    own_service.start()
    ended = own_service.ended(job)
    assert ended["status"] == "succeeded"
    assert ended["attempt"] == 2
    lines = own_service.http.get(f"/train-jobs/{job}/metrics?scope=epoch").json()["data"]
    assert [line["epoch"] for line in lines] == list(range(1, 41))


def test_a_killed_service_leaves_a_job_that_is_taken_up(
    own_service: Service, dataset: Path
) -> None:
    job = own_service.train(dataset, epochs=40, checkpoint_seconds=0.2)["id"]
    wait_until(lambda: (own_service.job(job)["progress"] or {}).get("epoch", 0) > 2)
    assert own_service.process is not None
    own_service.process.kill()
    own_service.process.communicate()
    wait_until(lambda: own_service.trainer(job) is None)  # its lifeline is cut
    wait_until(lambda: _valkey_is_gone(own_service))
    own_service.start()
    assert own_service.ended(job)["status"] == "succeeded"


def _valkey_is_gone(service: Service) -> bool:
    from library.errors import Conflict
    from synthorax.local import valkey

    try:
        os.close(valkey.lock(service.data_dir / "redis"))
    except Conflict:
        return False
    return True


@pytest.mark.parametrize("command", ["serve"])
def test_a_second_start_on_the_same_folder_says_so(service: Service, command: str) -> None:
    second = service.command(command)
    _, words = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "already serves" in words
    assert str(service.port) in words
    assert service.http.get("/health/live").status_code == 200
