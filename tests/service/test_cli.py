"""The command line on a real service."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.service.conftest import Service, wait_until
from worker.connection import client


def run(service: Service, *arguments: str) -> tuple[int, str, str]:
    process = service.command(*arguments)
    out, words = process.communicate(timeout=300)
    return process.returncode, out, words


def test_generate_writes_pictures_and_a_manifest(service: Service, tmp_path: Path) -> None:
    arguments = ("NORMAL", "-n", "3", "--seed", "5", "--model", "tiny@2", "-o", str(tmp_path))
    code, out, words = run(service, "generate", *arguments)
    assert code == 0, words
    assert "3 samples of tiny@2" in out
    with open(tmp_path / "manifest.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["5", "6", "7"]
    for row in rows:
        with Image.open(tmp_path / row["file"]) as image:
            image.load()
            facts = json.loads(image.info["synthorax"])
        assert (str(facts["seed"]), facts["label"]) == (row["seed"], "NORMAL")
        address = f"/models/tiny@2/samples/NORMAL/{row['seed']}.png"
        assert service.http.get(address).content == (tmp_path / row["file"]).read_bytes()
    assert Image.open(io.BytesIO((tmp_path / rows[0]["file"]).read_bytes())).size == (64, 64)


def test_refusals_are_the_service_s_words(service: Service, tmp_path: Path) -> None:
    code, _, words = run(service, "generate", "COVID", "--model", "tiny@2", "-o", str(tmp_path))
    assert code == 1
    assert "NORMAL, PNEUMONIA" in " ".join(words.split())
    assert not list(tmp_path.iterdir())
    service.environment["SYNTHORAX_URL"] = "http://127.0.0.1:9"
    try:
        code, _, words = run(service, "generate")
    finally:
        service.environment["SYNTHORAX_URL"] = service.url
    assert code == 1
    assert "synthorax serve" in " ".join(words.split())


def test_train_and_watch_to_the_end(service: Service, dataset: Path) -> None:
    spoilt = dataset.parent / "watched"
    (spoilt / "A").mkdir(parents=True)
    for path in sorted((dataset / "NORMAL").iterdir()):
        (spoilt / "A" / path.name).write_bytes(path.read_bytes())
    (spoilt / "A" / "letter.png").write_text("text")
    options = ["--epochs", "1", "--batch-size", "4", "--seed", "1", "--watch"]
    options += ["--preset", "quick", "--no-estimate"]
    code, out, words = run(service, "train", str(spoilt), *options)
    assert code == 0, words
    assert "job-" in out
    told = " ".join(words.split())
    assert "Published as watched@1" in told
    assert "A/letter.png: is not an image of a kind" in told


@pytest.mark.parametrize(
    ("environment", "code", "expected"),
    [
        ({}, 0, "Redis: the embedded server"),
        ({"SYNTHORAX_REDIS_URL": "redis://127.0.0.1:9/0"}, 1, "Redis does not answer"),
        ({"SYNTHORAX_PORT": "0"}, 1, "SYNTHORAX_PORT is '0'"),
        ({"SYNTHORAX_DATASET_ROOTS": "/nowhere"}, 1, "is no folder"),
        ({"SYNTHORAX_TRAIN_DEVICE": "cuda"}, 1, "asked for"),
    ],
)
def test_doctor_names_what_is_wrong(
    service: Service, environment: dict[str, str], code: int, expected: str
) -> None:
    import torch

    if "SYNTHORAX_TRAIN_DEVICE" in environment and torch.cuda.is_available():
        code, expected = 0, "it sees"
    kept = dict(service.environment)
    service.environment.update(environment)
    try:
        found, out, _ = run(service, "doctor")
    finally:
        service.environment.clear()
        service.environment.update(kept)
    assert expected in " ".join(out.split())
    assert found == code


def test_serve_says_which_port_is_taken(service: Service, tmp_path: Path) -> None:
    kept = service.environment["SYNTHORAX_DATA_DIR"]
    service.environment["SYNTHORAX_DATA_DIR"] = str(tmp_path)
    try:
        code, _, words = run(service, "serve")
    finally:
        service.environment["SYNTHORAX_DATA_DIR"] = kept
    assert code == 1
    assert f"Port {service.port}" in words
    assert "SYNTHORAX_PORT" in words


def test_serve_refuses_other_networks_without_keys(service: Service, tmp_path: Path) -> None:
    changes = {"SYNTHORAX_HOST": "0.0.0.0", "SYNTHORAX_DATA_DIR": str(tmp_path)}  # noqa: S104
    kept = dict(service.environment)
    service.environment.update(changes)
    try:
        code, _, words = run(service, "serve")
    finally:
        service.environment.update({k: kept.get(k, "127.0.0.1") for k in changes})
    assert code == 1
    assert "SYNTHORAX_TRUST_NETWORK" in words


def test_a_job_by_the_command_line(service: Service, dataset: Path) -> None:
    options = ["--model", "by-hand", "--epochs", "5000", "--batch-size", "8"]
    options += ["--preset", "quick", "--no-estimate"]
    code, out, words = run(service, "train", str(dataset), *options)
    assert code == 0, words
    job = out.split()[0]
    wait_until(lambda: service.job(job)["progress"] is not None)
    code, out, _ = run(service, "workers")
    assert job in out
    assert "light" in out
    assert run(service, "runs", "delete", job)[0] == 1  # it runs
    assert run(service, "runs", "cancel", job)[0] == 0
    done = service.ended(job)["progress"]["epoch"]
    code, out, words = run(service, "runs", "resume", job, "--epochs", str(done + 1), "--watch")
    assert code == 0, words
    assert "Published as by-hand@1" in " ".join(words.split())
    code, out, words = run(service, "runs", "clone", job, "--seed", "4", "--epochs", "1", "--watch")
    assert code == 0, words
    clone = out.split()[0]
    assert service.job(clone)["cloned_from"] == job
    code, out, _ = run(service, "runs", "list", "--status", "succeeded", "-n", "2")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [clone, job]
    assert run(service, "runs", "delete", job)[0] == 0
    assert service.http.get(f"/train-jobs/{job}").status_code == 404
    code, _, words = run(service, "runs", "finish", clone)
    assert code == 1
    assert "already succeeded" in " ".join(words.split())


def test_repair_after_redis_lost_everything(own_service: Service, dataset: Path) -> None:
    job = own_service.train(dataset)["id"]
    before = own_service.ended(job)
    assert run(own_service, "repair", "--look")[0] == 0
    client((own_service.data_dir / "redis" / "address").read_text()).flushall()
    assert own_service.http.get(f"/train-jobs/{job}").status_code == 404
    code, out, _ = run(own_service, "doctor")
    assert code == 1
    assert "synthorax repair" in " ".join(out.split())
    code, out, _ = run(own_service, "repair", "--look")
    assert (code, job in out) == (1, True)
    code, out, words = run(own_service, "repair")
    assert code == 0, words
    assert f"{job} is succeeded" in out
    assert own_service.job(job) == before
    # Also while the service is down: the embedded server is started for it.
    client((own_service.data_dir / "redis" / "address").read_text()).flushall()
    own_service.stop()
    code, out, words = run(own_service, "repair")
    assert code == 0, words
    own_service.start()
    assert own_service.job(job) == before
