"""Two machines over one Valkey and one bucket: what one makes the other has, whatever dies."""

from __future__ import annotations

import io
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.service.conftest import IMAGES, TINY, run_training, wait_until
from tests.store.machines import Machine, Machines

EPOCHS = 40  # of a job that is killed: long enough to be met while it trains


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for path in sorted(IMAGES.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(IMAGES).as_posix())
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
    wait_until(lambda: [m for m in here.get("/models")["data"] if m.get("active")][0]["reference"]
               == model)  # fmt: skip


def test_a_killed_machine_s_job_ends_elsewhere_in_the_same_bytes(
    machines: Machines, dataset: str, tmp_path: Path
) -> None:
    here, there = machines.here, machines.there
    job = here.train(dataset, **{**TINY, "epochs": EPOCHS})
    wait_until(lambda: len(here.get(f"/train-jobs/{job}/checkpoints")["data"]) > 1)
    pushed = f"files/runs/{job}/000001/"
    wait_until(lambda: machines.listed(pushed))
    here.worker.signal(signal.SIGKILL, group=True)
    for trainer in here.trainers():
        machines.kill(trainer)
    assert here.job(job)["status"] == "running"
    there.worker.start()
    ended = there.ended(job)
    assert ended["status"] == "succeeded", there.words()
    assert ended["attempt"] == 2
    assert here.job(job)["worker"].startswith("there")
    here.worker.wait()
    here.worker.start()
    undisturbed = here.train(dataset, **{**TINY, "epochs": EPOCHS})
    # Whoever takes it: the weights are a function of what was asked for.
    found = here.ended(undisturbed)
    assert found["model"] == ended["model"]
    request = {
        "dataset": {"path": str(IMAGES)},
        "model": "alone",
        "preset": "quick",
        "config": {**TINY, "epochs": EPOCHS},
    }
    run_training(request, tmp_path)
    alone = load_file(tmp_path / "models" / "alone" / "1" / "model.safetensors")
    name, number = ended["model"].split("@")
    shared = load_file(there.data_dir / "models" / name / number / "model.safetensors")
    assert alone.keys() == shared.keys()
    for key, tensor in alone.items():
        assert np.array_equal(tensor, shared[key]), key
