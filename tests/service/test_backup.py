"""Backup while a job runs, everything lost, restored elsewhere: nothing is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from library.keys import KeyFile, new_key
from library.runs import checkpoints, run_folder
from tests.service.conftest import WAIT_SECONDS, Service, train_request, wait_until
from tests.service.processes import kill_all
from tests.service.test_train_jobs import follow
from tests.sets import packed

LONG = 5000  # epochs: more than a test waits for


def run(service: Service, *arguments: str) -> tuple[int, str, str]:
    process = service.command(*arguments)
    try:
        out, words = process.communicate(timeout=WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, words = process.communicate()
    return process.returncode, out, " ".join(words.split())


def samples(service: Service) -> list[Any]:
    """Bytes of some pictures, and the identity of what made them."""
    answers = [
        service.http.post("/generate", json={"model": f"tiny@{n}", "count": 3, "seed": 5}).json()
        for n in (1, 2)
    ]
    return [(a["model"], a["engine"], [i["png"] for i in a["images"]]) for a in answers]


@pytest.fixture
def kept(tmp_path: Path, roots: Path, tiny_models: Path) -> Service:
    """A service with a key, and a client that has it."""
    (tmp_path / "first").mkdir()
    shutil.copytree(tiny_models, tmp_path / "first" / "models")
    key, text = new_key("ann", "admin")
    KeyFile(tmp_path / "first").add(key)
    service = Service(tmp_path / "first", roots, {"SYNTHORAX_API_KEY": text})
    service.http.headers["Authorization"] = f"Bearer {text}"
    return service


def test_a_service_whose_disk_is_lost_goes_on_from_its_backup(
    kept: Service, roots: Path, dataset: Path, tmp_path: Path
) -> None:
    kept.start()
    place = tmp_path / "elsewhere"
    place.mkdir()
    try:
        upload = packed(dataset, tmp_path / "upload.zip").read_bytes()
        zipped = {"Content-Type": "application/zip"}
        uploaded = kept.http.post("/datasets", content=upload, headers=zipped).json()["id"]
        finished = kept.ended(kept.train(dataset)["id"])
        assert finished["status"] == "succeeded"
        told = follow(kept, finished["id"])
        report = kept.http.get(f"/models/{finished['model']}/reports").json()["data"]
        wait_until(lambda: kept.http.get(f"/datasets/{uploaded}").json()["status"] == "ready")
        running = kept.train(dataset, epochs=LONG, checkpoint_seconds=0.2)["id"]
        folder = run_folder(kept.data_dir, running)
        wait_until(lambda: len(checkpoints(folder.checkpoints)) > 1)
        request = {**train_request(dataset), "dataset": uploaded}
        queued = kept.http.post("/train-jobs", json=request).json()["id"]
        pictures = samples(kept)

        code, out, words = run(kept, "backup", str(place), "--json")
        assert code == 0, words
        made = json.loads(out)
        assert made["folders_in_place"] == [str(dataset)]
        assert f"outside the data folder: {dataset}" in words
        assert kept.job(running)["status"] == "running"
        archive = Path(made["file"])
        assert [path.name for path in place.iterdir()] == [archive.name]
        assert archive.stat().st_mode & 0o777 == 0o600

        refused = run(kept, "restore", str(archive))
        assert refused[0] == 1
        assert "Synthorax serves" in refused[2]
        kill_all(kept)
    finally:
        kept.close()
    shutil.rmtree(kept.data_dir)

    new = Service(tmp_path / "second", roots, {k: v for k, v in kept.environment.items()
                                               if k == "SYNTHORAX_API_KEY"})  # fmt: skip
    new.http.headers = kept.http.headers
    new.data_dir.mkdir()
    try:
        code, out, words = run(new, "restore", str(archive), "--verify")
        assert code == 0, words
        assert not list(new.data_dir.iterdir())
        code, out, words = run(new, "restore", str(archive), "--json")
        assert code == 0, words
        done = json.loads(out)
        assert done["identity"] == made["identity"]
        assert set(done["jobs_queued_again"]) == {running, queued}
        assert new.data_dir.stat().st_mode & 0o777 == 0o700
        again = run(new, "restore", str(archive))
        assert again[0] == 1
        assert "is not empty" in again[2]

        new.start()
        assert samples(new) == pictures
        now = new.job(finished["id"])
        assert now == finished
        assert follow(new, finished["id"])[: len(told)] == told
        assert [each["id"] for each in report] == [
            each["id"]
            for each in new.http.get(f"/models/{finished['model']}/reports").json()["data"]
        ]
        unknown = {"Authorization": "Bearer synthorax_01234567_" + "0" * 64}
        assert new.http.get("/models", headers=unknown).status_code == 401

        wait_until(lambda: new.job(running)["status"] == "running")
        wait_until(lambda: new.http.post(f"/train-jobs/{running}/finish").status_code < 300)
        for job in (running, queued):
            ended = new.ended(job)
            assert ended["status"] == "succeeded", ended
        resumed = new.job(running)
        assert resumed["attempt"] == 2
        assert resumed["ends"] == []  # nobody's fault
        messages = [e.get("message", "") for _, e in follow(new, running)]
        assert any("Resumed" in message for message in messages)
        lines = (new.data_dir / "audit.jsonl").read_text().splitlines()
        assert any(json.loads(line).get("path") == "/datasets" for line in lines)
        assert new.stop() == 0
    finally:
        new.close()


def test_a_service_does_not_start_on_half_a_restore(
    tmp_path: Path, roots: Path, tiny_models: Path
) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    (tmp_path / ".restore").mkdir()
    service = Service(tmp_path, roots)
    for command in ("serve", "worker"):
        service.environment["SYNTHORAX_REDIS_URL"] = "redis://127.0.0.1:9/0"
        code, _, words = run(service, command)
        assert code == 1
        assert "has not ended" in words
        assert "synthorax restore" in words
