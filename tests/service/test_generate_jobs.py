"""Generate jobs on a real service: every sample once, whoever is killed."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from synthorax import Client, JobFailed
from tests.service.alone import CLASSES, PUBLIC
from tests.service.conftest import ROOT, Service, wait_until

SEED = 1000


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


# webdataset leaves its files to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_webdataset_holds_each_sample_as_post_generate_makes_it(
    client: Client, tmp_path: Path
) -> None:
    labels = client.models.get(CLASSES)["labels"]
    job = client.generate_jobs.create(
        250, seed=SEED, labels=labels, model=CLASSES, truncation=0.8, shard_images=100
    )
    told: list[float] = []
    paths = job.download(tmp_path / "set", lambda record: told.append(record["progress"]["images"]))
    assert [path.name for path in paths] == [f"shard-00000{i}.tar" for i in range(3)]
    assert told == sorted(told)
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest == job.manifest()
    items = [(labels[i % len(labels)], SEED + i) for i in range(250)]
    wanted = client.generate(items=items, model=CLASSES, truncation=0.8)
    assert manifest["engine"]["digest"] == wanted.engine
    webdataset: Any = import_module("webdataset")
    urls = [str(path) for path in paths]
    found = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    gc.collect()
    assert [sample["__key__"] for sample in found] == [f"{SEED + i:016d}" for i in range(250)]
    for i, sample in enumerate(found):
        facts = json.loads(sample["json"])
        assert facts["sha256"] == hashlib.sha256(wanted.images[i].tobytes()).hexdigest()
        assert (facts["label"], facts["seed"]) == items[i]
        assert sample["cls"] == str(i % len(labels)).encode()
        assert facts["synthetic"] is True
    for shard, path in zip(manifest["shards"], paths, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
    damaged = paths[1].read_bytes()
    paths[1].write_bytes(damaged[:-1] + b"x")
    before = paths[0].stat().st_mtime_ns
    assert job.download(tmp_path / "set") == paths
    assert paths[1].read_bytes() == damaged  # fetched again, it alone
    assert paths[0].stat().st_mtime_ns == before


def test_a_zip_shard_is_the_answer_of_post_generate(client: Client, service: Service) -> None:
    job = client.generate_jobs.create(
        150, "NORMAL", SEED, model=PUBLIC, container="zip", format="webp", shard_images=100
    ).wait(timeout=120)
    body = {"model": PUBLIC, "label": "NORMAL", "count": 100, "seed": SEED, "format": "webp"}
    wanted = service.http.post("/generate", json=body, headers={"Accept": "application/zip"})
    path = f"/generate-jobs/{job.id}/shards/shard-000000.zip"
    got = service.http.get(path)
    assert got.content == wanted.content
    assert got.headers["etag"] == f'"{job.shards()[0]["sha256"]}"'
    part = service.http.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, wanted.content[100:200])


def test_a_job_is_ended_taken_up_again_and_deleted(client: Client, service: Service) -> None:
    job = client.generate_jobs.create(1_000_000, seed=1, model=PUBLIC, shard_images=100)
    wait_until(lambda: len(job.shards()) > 1)
    refused = service.http.delete(f"/generate-jobs/{job.id}")
    assert refused.status_code == 409
    assert "Cancel it first" in refused.json()["detail"]
    early = service.http.get(f"/generate-jobs/{job.id}/manifest.json")
    assert early.status_code == 409
    assert job.cancel().status == "cancelled"
    assert service.http.post(f"/generate-jobs/{job.id}/cancel").status_code == 409
    with pytest.raises(JobFailed, match="is cancelled"):
        job.wait()
    there = len(job.shards())
    assert job.resume().status == "running"
    assert service.http.post(f"/generate-jobs/{job.id}/resume").status_code == 409
    wait_until(lambda: len(job.shards()) > there)
    assert job.reload().progress["images_per_second"] > 0
    job.cancel()
    job.delete()
    assert job.id not in [each.id for each in client.generate_jobs.list()]
    assert service.http.get(f"/generate-jobs/{job.id}").status_code == 404


def test_a_request_sent_twice_makes_one_job(client: Client, service: Service) -> None:
    body = {"count": 100, "shard_images": 100, "model": CLASSES, "seed": 3}
    headers = {"Idempotency-Key": "once"}
    one, other = (service.http.post("/generate-jobs", json=body, headers=headers) for _ in "ab")
    assert one.status_code == other.status_code == 202
    assert one.json()["id"] == other.json()["id"]
    third = service.http.post("/generate-jobs", json={**body, "seed": 4}, headers=headers)
    assert third.status_code == 422
    assert "was used for another request" in third.json()["detail"]
    assert client.generate_jobs.get(one.json()["id"]).wait(timeout=120).status == "succeeded"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"count": 10_000_001}, "count", "less than or equal to 10000000"),
        ({"shard_images": 99}, "shard_images", "greater than or equal to 100"),
        ({"label": "A", "labels": ["B"]}, "label", "not |Give one class as label"),
        ({"labels": ["NORMAL", "LUPUS"]}, "labels.1", "NORMAL"),
        ({"label": "LUPUS"}, "label", "NORMAL"),
        ({"seed": 2**53 - 1}, "seed", r"2\^53 - 1"),
        ({"container": "rar"}, "container", "webdataset"),
        ({"model": "nobody"}, None, "nobody"),
    ],
)
def test_what_is_wrong_is_named(
    service: Service, changes: dict[str, Any], field: str | None, words: str
) -> None:
    answer = service.http.post("/generate-jobs", json={"count": 200, "model": PUBLIC, **changes})
    assert answer.status_code in (404, 422)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert problem["errors"][0]["field"] == field
    assert any(each in problem["detail"] for each in words.replace("\\", "").split("|"))


def test_the_command_line_makes_follows_and_fetches(service: Service, tmp_path: Path) -> None:
    def command(*arguments: str) -> tuple[int, str]:
        process = service.command("generate-jobs", *arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    code, out = command("new", "-n", "150", "--seed", "5", "--model", CLASSES,
                        "--shard-images", "100", "--json")  # fmt: skip
    assert code == 0, out
    job = json.loads(out)["id"]
    code, out = command("fetch", job, "-o", str(tmp_path / "set"))
    assert code == 0, out
    assert "150 samples in 2 shards" in out
    with tarfile.open(tmp_path / "set" / "shard-000001.tar") as archive:
        assert len([name for name in archive.getnames() if name.endswith(".png")]) == 50
    code, out = command("show", job)
    assert "150 of 150" in out
    assert job in command("list")[1]
    code, out = command("cancel", job)
    assert code == 1
    assert "is succeeded" in out
    assert command("delete", job)[0] == 0
    assert job not in command("list")[1]


@pytest.mark.filterwarnings("ignore")  # other people's packages warn of one another
def test_what_the_documentation_says_runs(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHORAX_URL", service.url)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "scale.md").read_text().replace("-n 1000000", "-n 300")
    known: dict[str, Any] = {}
    job = ""
    for language, block in re.findall(
        r"^```(python|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    ):
        if language == "python":
            exec(compile(block, "scale.md", "exec"), known)  # noqa: S102
            continue
        for line in block.splitlines():
            words = shlex.split(line)[1:]
            if words[0] == "generate-jobs":
                asked = [job if word.startswith("gj-") else word for word in words]
                process = service.command(*asked, folder=tmp_path)
                out, err = process.communicate(timeout=120)
                assert process.returncode == 0, out + err
                job = job or out.split(":")[0]
    assert known["image"].shape == (64, 64)
    assert len(list((tmp_path / "files").glob("*.tar"))) == 2
    assert (tmp_path / "set" / "manifest.json").is_file()
    known["client"].close()
    gc.collect()


def test_every_seed_is_there_once_whoever_is_killed(own_service: Service) -> None:
    """Workers and their children end by SIGKILL at random moments; two jobs come out the same."""
    address = (own_service.data_dir / "redis" / "address").read_text()
    environment = {
        **own_service.environment,
        "SYNTHORAX_REDIS_URL": address,
        "SYNTHORAX_LEASE_SECONDS": "1",
        "SYNTHORAX_ATTEMPTS_MAX": "1000",
        "SYNTHORAX_CPU_THREADS": "1",
    }
    command = [sys.executable, "-m", "worker", "generation"]

    def worker() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)

    chance = random.Random(4)
    with Client(own_service.url) as client:
        made = [
            client.generate_jobs.create(count, seed=SEED, model=PUBLIC, shard_images=200)
            for count in (6_000, 2_000)
        ]
        workers, kills = [worker(), worker()], 0
        try:
            while not all(job.reload().ended for job in made):
                time.sleep(chance.uniform(0.3, 1.2))
                if kills < 12:
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(_below(workers[kills % 2].pid)), signal.SIGKILL)
                        kills += 1
                workers = [w if w.poll() is None else worker() for w in workers]
        finally:
            for process in workers:
                process.terminate()
            for process in workers:
                process.wait(60)
        assert kills > 2
        whole, part = (job.manifest() for job in made)
        # Jobs take turns: the small one did not wait for the large one.
        moments = [job.record["finished_at"] for job in made]
        assert moments[1] < moments[0]
    assert whole["images"] == 6_000
    assert part["shards"] == whole["shards"][:10]
    seeds: list[int] = []
    for shard in whole["shards"]:
        content = own_service.http.get(f"/generate-jobs/{made[0].id}/shards/{shard['file']}")
        assert hashlib.sha256(content.content).hexdigest() == shard["sha256"]
        with tarfile.open(fileobj=io.BytesIO(content.content)) as archive:
            seeds += [int(n[:16]) for n in archive.getnames() if n.endswith(".png")]
    assert seeds == list(range(SEED, SEED + 6_000))
    folder = own_service.data_dir / "generated" / made[0].id / "shards"
    assert not list(folder.glob(".*.tmp"))  # what the killed had begun is gone


def _below(pid: int) -> list[int]:
    """A process and all that it started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found
