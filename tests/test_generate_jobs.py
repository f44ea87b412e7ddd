"""Generate jobs: what lies on the disk is the truth, whoever makes a shard and however often."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.generate_jobs.schemas import GenerateJobRequest
from app.generate_jobs.service import GenerateJobService
from app.schemas import parsed
from library import generate_jobs
from library.disk import DiskFull
from library.errors import Conflict, NotFound
from library.generate_jobs import GenerateJob
from library.settings import Settings
from library.versions import ModelLibrary
from tests.valkey import Server
from worker import generation, keys
from worker.generation import COMMAND, GenerationSweeper, Makers, make_next, send_again
from worker.leases import Lease
from worker.queue import GENERATION, celery_app, enqueue_generation, messages

MODEL = "chest-xray-dcgan@2"
CALM = threading.Event()  # nobody stops the worker
DIES = (sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit('out of memory')")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    redis: Any = server.client()
    redis.flushall()
    return Settings(data_dir=tmp_path, redis_url=server.url, attempts_max=2, lease_seconds=2)


def new(settings: Settings, **changes: Any) -> GenerateJob:
    version = ModelLibrary(settings.models).find(MODEL)
    record = {
        "created_at": generate_jobs.now(), "model": MODEL, "digest": version.digest,
        "private": False, "labels": ["NORMAL"], "seed": 7, "truncation": 1.0, "format": "png",
        "count": 250, "container": "zip", "shard_images": 100, **changes,
    }  # fmt: skip
    return generate_jobs.create(settings.data_dir, generate_jobs.new_identity(), record)[0]


class Worker:
    """A worker's hands, in this process; its child is a real one."""

    def __init__(
        self, server: Server, settings: Settings, command: tuple[str, ...] = COMMAND
    ) -> None:
        self.settings, self.redis, self.server = settings, server.client(), server
        self.sent: list[str] = []
        self.makers = Makers(settings, "here", command)

    def take(self, job: GenerateJob) -> None:
        """A message for the job."""
        make_next(job.id, self.redis, self.settings, CALM, self.send, self.makers)

    def send(self, record: Mapping[str, Any]) -> None:
        self.sent.append(record["id"])


@pytest.fixture
def worker(server: Server, settings: Settings) -> Iterator[Worker]:
    made = Worker(server, settings)
    yield made
    made.makers.end()


@given(count=st.integers(1, 10_000_000), size=st.integers(100, 100_000), seed=st.integers(0, 2**52))
def test_shards_hold_every_seed_once(count: int, size: int, seed: int) -> None:
    job = GenerateJob(Path("gj-0"))
    vars(job)["record"] = {"count": count, "shard_images": size, "seed": seed}
    at = 0
    for number in {0, 1, job.shards // 2, job.shards - 1} & set(range(job.shards)):
        first, images = job.span(number)
        assert first == number * size
        assert 0 < images <= size
    for number in range(min(job.shards, 50)):
        first, images = job.span(number)
        assert first == at
        at += images
    first, images = job.span(job.shards - 1)
    assert first + images == count


def test_one_message_makes_one_shard_and_the_last_the_manifest(worker: Worker) -> None:
    job = new(worker.settings)
    assert job.status == "queued"
    for done in (1, 2, 3):
        worker.take(job)
        assert len(job.done()) == done
    assert worker.sent == [job.id] * 4  # twice a shard while others are free: none is in a queue
    assert job.status == "succeeded"
    manifest = json.loads(job.manifest_path.read_text())
    assert [s["first_seed"] for s in manifest["shards"]] == [7, 107, 207]
    assert [s["images"] for s in manifest["shards"]] == [100, 100, 50]
    assert manifest["labels"] == {"NORMAL": 250}
    before = job.manifest_path.read_bytes()
    worker.take(job)  # a message that came again
    assert job.complete()
    assert job.manifest_path.read_bytes() == before
    redis: Any = worker.redis
    assert not redis.keys("synthorax:shard:*")


def test_a_shard_is_the_same_bytes_whoever_makes_it(worker: Worker) -> None:
    one, other = new(worker.settings), new(worker.settings)
    for job in (one, other):
        for _ in range(3):
            worker.take(job)
    for number in range(3):
        assert one.shard(number).read_bytes() == other.shard(number).read_bytes()


def test_a_shard_that_is_held_is_left_alone(worker: Worker) -> None:
    job = new(worker.settings)
    held = Lease(worker.redis, keys.shard_lease(job.id, 0), "another", 60)
    held.take()
    worker.take(job)
    worker.take(job)
    assert job.done() == {1, 2}
    worker.take(job)
    assert job.done() == {1, 2}
    sweeper = GenerationSweeper(worker.redis, worker.settings, worker.send)
    worker.sent.clear()
    sweeper.sweep()
    assert worker.sent == []  # somebody is at it
    held.release()  # its worker died
    sweeper.sweep()
    assert worker.sent == [job.id]
    worker.take(job)
    assert job.status == "succeeded"


def test_a_look_for_a_free_shard_ends_at_the_first(worker: Worker) -> None:
    job = new(worker.settings, count=100_000)
    for number in (0, 1):
        Lease(worker.redis, keys.shard_lease(job.id, number), "another", 60).take()
    redis: Any = worker.redis
    redis.config_resetstat()
    send_again(job, redis, worker.send)
    assert worker.sent == [job.id]
    looked = redis.info("commandstats")
    assert looked["cmdstat_exists"]["calls"] == 3  # of a thousand shards
    worker.take(job)
    assert job.done() == {2}
    taken = redis.info("commandstats")
    assert taken["cmdstat_set"]["calls"] == 3
    assert taken["cmdstat_exists"]["calls"] == 3 + 4 + 3  # before it was made, and after


def test_what_is_in_the_queue_is_not_sent_again(worker: Worker) -> None:
    job = new(worker.settings)
    app = celery_app(worker.settings)
    enqueue_generation(app, job.record)
    sweeper = GenerationSweeper(worker.redis, worker.settings, worker.send)
    sweeper.sweep()
    worker.take(job)
    assert worker.sent == []
    assert messages(worker.redis, GENERATION) == {job.id: 1}


def test_a_shard_whose_process_dies_fails_the_job_in_the_end(
    server: Server, settings: Settings
) -> None:
    worker = Worker(server, settings, DIES)
    job = new(settings)
    worker.take(job)
    assert job.status == "queued"  # tried again by whoever comes next
    assert worker.sent[-1] == job.id
    worker.take(job)
    assert job.status == "failed"
    assert job.end is not None
    assert "out of memory" in job.end["error"]["detail"]
    assert "resume" in job.end["error"]["detail"]
    worker.take(job)
    assert job.done() == set()
    job.unfinish()
    well = Worker(server, settings)
    for _ in range(3):
        well.take(job)
    well.makers.end()
    assert job.status == "succeeded"


def test_another_engine_makes_no_shard_of_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "REFUSED_SECONDS", 0.0)
    job = new(worker.settings)
    other = {"digest": "0" * 64, "backend": "cuda", "precision": "float32"}
    assert job.claim_engine(other) == other
    worker.take(job)
    assert job.done() == set()
    assert job.status == "running"
    assert worker.sent == [job.id, job.id]  # for a worker with that engine
    assert job.claim_engine({**other, "digest": "1" * 64}) == other


def test_another_version_under_the_same_name_is_refused(worker: Worker) -> None:
    job = new(worker.settings, digest="0" * 64)
    worker.take(job)
    assert job.status == "failed"
    assert job.end is not None
    assert "not the version" in job.end["error"]["detail"]


def test_a_shard_that_does_not_fit_its_record_is_made_again(worker: Worker) -> None:
    job = new(worker.settings)
    for _ in range(2):
        worker.take(job)
    whole = job.shard(0).read_bytes()
    job.shard(0).write_bytes(whole[:1000])
    worker.take(job)
    assert job.status == "running"
    assert job.missing() == [0]
    worker.take(job)
    assert job.status == "succeeded"
    assert job.shard(0).read_bytes() == whole


def test_more_than_the_disk_holds_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    library: Any = ModelLibrary(settings.models)  # finds as a pool does
    nobody: Any = None
    service = GenerateJobService(settings, library, nobody, nobody)
    asked = b'{"model": "chest-xray-dcgan@2", "count": %d}'
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    service.checked(parsed(GenerateJobRequest, asked % 100_000))
    with pytest.raises(DiskFull, match=r"9.* GiB, and 1.0 GiB are free") as refused:
        service.checked(parsed(GenerateJobRequest, asked % 1_300_000))
    assert refused.value.field == "count"


def test_only_what_has_ended_is_deleted(worker: Worker) -> None:
    job = new(worker.settings)
    with pytest.raises(Conflict, match="queued"):
        generate_jobs.remove(worker.settings.data_dir, job.id)
    worker.take(job)
    job.finish("cancelled")
    worker.take(job)
    assert len(job.done()) == 1  # what is made stays
    generate_jobs.remove(worker.settings.data_dir, job.id)
    with pytest.raises(NotFound):
        generate_jobs.find(worker.settings.data_dir, job.id)
    worker.take(job)  # a message for what is no more
    assert not job.path.exists()
    half = job.path.with_name(f".deleted-{job.id}")
    half.mkdir()
    GenerationSweeper(worker.redis, worker.settings, worker.send).sweep()
    assert not half.exists()
