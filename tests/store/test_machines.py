"""Two machines over one Valkey and one bucket: what one makes the other has, whatever dies."""

from __future__ import annotations

import io
import os
import signal
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.conftest import IMAGES, TINY, wait_until
from tests.store.machines import Machine, Machines

# Of a job that is killed: long enough to be met while it trains, with checkpoints all the time.
LONG = {**TINY, "epochs": 40, "checkpoint_seconds": 0.1}


def archive(comment: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for path in sorted(IMAGES.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(IMAGES).as_posix())
        packed.comment = comment.encode()
    return buffer.getvalue()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("two")) as running:
        yield running


@pytest.fixture(scope="module")
def dataset(machines: Machines) -> str:
    """Uploaded to one machine, validated by the other's worker."""
    identity = machines.there.upload(archive(), "tiny")
    wait_until(lambda: machines.there.get(f"/datasets/{identity}")["status"] != "validating")
    assert machines.there.get(f"/datasets/{identity}")["status"] == "ready"
    return identity


def pixels(machine: Machine, model: str) -> list[str]:
    answer = machine.http.post("/generate", json={"model": model, "count": 4, "seed": 3})
    assert answer.status_code == 200, answer.text
    return [image["sha256"] for image in answer.json()["images"]]


def active(machine: Machine) -> list[str]:
    listed = machine.get("/models")["data"]
    return [version["reference"] for version in listed if version.get("active")]


def test_what_one_machine_trains_the_other_generates(machines: Machines, dataset: str) -> None:
    here, there = machines.here, machines.there
    job = there.train(dataset, **TINY)
    assert there.ended(job)["status"] == "succeeded", here.words()
    model = there.job(job)["model"]
    assert model == "shared@1"
    assert pixels(there, model) == pixels(here, model)
    # Numbers, pictures and checkpoints of a run that was never there.
    assert there.get(f"/train-jobs/{job}/metrics") == here.get(f"/train-jobs/{job}/metrics")
    assert there.get(f"/train-jobs/{job}/metrics")["total"] > 0
    names = ("step", "sha256", "bytes")
    listed = [
        [
            {name: each[name] for name in names}
            for each in m.get(f"/train-jobs/{job}/checkpoints")["data"]
        ]
        for m in (here, there)
    ]
    assert listed[0] == listed[1] != []
    samples = [m.http.get(f"/train-jobs/{job}/samples/1.png") for m in (here, there)]
    assert samples[0].content == samples[1].content
    assert samples[0].status_code == 200
    assert not (there.data_dir / "runs" / job / "checkpoints").exists()
    thumbnail = [m.http.get(f"/datasets/{dataset}/files/1/thumbnail.jpg") for m in (here, there)]
    assert thumbnail[0].content == thumbnail[1].content
    # A choice made there is followed here.
    assert there.http.post(f"/models/{model}/activate").status_code == 200
    wait_until(lambda: active(here) == [model])


def told(machine: Machine, job: str, kind: str) -> list[dict[str, Any]]:
    """What a job has told of one kind, oldest first."""
    events = machine.get(f"/train-jobs/{job}/events?limit=1000")["data"]
    return [event for event in events if event["type"] == kind]


@pytest.fixture(scope="module")
def moved(machines: Machines, dataset: str) -> dict[str, Any]:
    """A job whose machine was killed while it trained; as it ended on the other one."""
    here, there = machines.here, machines.there
    job = here.train(dataset, "moved", **LONG)
    # It is sent to the bucket when it is told of.
    wait_until(lambda: told(here, job, "checkpoint"))
    for trainer in here.trainers():  # it waits at where it is until the bucket has a checkpoint
        os.kill(trainer, signal.SIGSTOP)
    wait_until(lambda: there.get(f"/train-jobs/{job}/checkpoints")["data"])
    here.worker.signal(signal.SIGKILL, group=True)
    for trainer in here.trainers():
        machines.kill(trainer)
    assert here.job(job)["status"] == "running"
    there.worker.start()
    return there.ended(job)


def test_a_killed_machine_s_job_goes_on_elsewhere(
    machines: Machines, moved: dict[str, Any]
) -> None:
    here, there = machines.here, machines.there
    assert moved["status"] == "succeeded", there.words()
    assert moved["attempt"] == 2
    logs = told(there, moved["id"], "log")
    assert [log for log in logs if "Resumed from the checkpoint" in log["message"]]
    assert pixels(here, moved["model"]) == pixels(there, moved["model"])


@pytest.mark.long
def test_a_bucket_that_is_away_for_a_while_loses_nothing(
    machines: Machines, dataset: str, moved: dict[str, Any]
) -> None:
    here, there = machines.here, machines.there
    job = there.train(dataset, "away", **LONG)
    wait_until(lambda: machines.listed(f"files/runs/{job}/"))
    with machines.bucket.away():
        assert len(pixels(here, "shared")) == 4  # generation does not need it
        # The trainer goes on to its end, and the job says what it waits for.
        wait_until(lambda: not there.trainers() and there.job(job)["progress"]["fraction"] == 1)
        wait_until(
            lambda: "The store is away" in str(there.get(f"/train-jobs/{job}/events?limit=1000"))
        )
        assert there.job(job)["status"] == "running"
        refused = here.http.post(
            "/datasets?name=other",
            content=archive("b"),
            headers={"Content-Type": "application/zip"},
        )
        assert refused.status_code == 503
        assert "store" in refused.json()["detail"]
        assert len(here.get("/datasets")["data"]) == 1  # nothing is half there
    with machines.bucket.hanging():  # nor does one that hangs hold those who ask
        assert there.job(job)["status"] == "running"
    ended = there.ended(job)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
    # Its trainer was never disturbed: the one that was killed has ended in the same bytes.
    assert weights(there, ended) == weights(here, moved)


def weights(machine: Machine, job: dict[str, Any]) -> bytes:
    folder = machine.data_dir / "models" / str(job["model"]).replace("@", "/")
    wait_until(folder.is_dir)
    return (folder / "model.safetensors").read_bytes()


def test_what_is_deleted_goes_everywhere(machines: Machines, dataset: str) -> None:
    here, there = machines.here, machines.there
    job = there.get("/train-jobs")["data"][0]["id"]
    here.get(f"/train-jobs/{job}/metrics")  # so that there is a copy
    assert (here.data_dir / "runs" / job).is_dir()
    assert there.http.delete(f"/train-jobs/{job}").status_code == 204
    assert not machines.listed(f"files/runs/{job}/")
    wait_until(lambda: not (here.data_dir / "runs" / job).exists())
    assert here.http.delete(f"/datasets/{dataset}").status_code == 204
    assert not machines.listed(f"files/datasets/{dataset}/")
    wait_until(lambda: not (there.data_dir / "datasets" / dataset).exists())
    assert there.http.get(f"/datasets/{dataset}").status_code == 404


def test_keys_of_the_store_are_in_no_log_and_no_answer(machines: Machines) -> None:
    secret = machines.bucket.environment["AWS_SECRET_ACCESS_KEY"]
    for machine in (machines.here, machines.there):
        assert secret not in machine.words()
        for path in ("/health/ready", "/metrics", "/train-jobs"):
            assert secret not in machine.http.get(path).text
    # Nor does the bucket list what a file of a dataset, or a patient, is called.
    names = {path.stem for path in IMAGES.rglob("*.*")}
    assert not [key for key in machines.listed("files/") for name in names if name in key]
