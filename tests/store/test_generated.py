"""Generate jobs over a store: machines share the work, and each has what the others made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from app.generate_jobs.__main__ import Maker
from library import generate_jobs
from library.atomic import write_json
from library.errors import Unusable
from library.generate_jobs import GenerateJob
from library.settings import Settings
from library.store.generated import _shard_key
from library.store.objects import FolderObjects, StoreAway
from library.store.shared import Store, open_store
from tests.test_generate_jobs import Worker, new
from tests.valkey import Server
from worker.generation import GenerationSweeper


class Machine:
    """A data folder, and a generation worker's hands on it."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.settings = settings
        store = open_store(settings)
        assert store is not None
        self.store: Store = store
        self.worker = Worker(server, settings)

    def job(self, identity: str) -> GenerateJob:
        return generate_jobs.find(self.settings.data_dir, identity)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    path = tmp_path / "bucket"
    path.mkdir()
    return path


@pytest.fixture
def machines(
    server: Server, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Machine, Machine]]:
    url = f"file://{bucket}"
    monkeypatch.setenv("SYNTHORAX_STORE", url)  # of the workers' children
    settings = Settings(data_dir=tmp_path, redis_url=server.url, lease_seconds=2, store=url)
    made = [
        Machine(server, replace(settings, data_dir=tmp_path / name)) for name in ("here", "there")
    ]
    yield made[0], made[1]
    for machine in made:
        machine.worker.makers.end()


def test_machines_share_the_shards_of_a_job(
    machines: tuple[Machine, Machine], bucket: Path, tmp_path: Path
) -> None:
    here, there = machines
    mine = new(here.settings)
    here.store.generated.give(mine)
    there.store.refresh()
    its = there.job(mine.id)
    assert its.record == mine.record
    there.worker.take(its)
    here.worker.take(mine)  # looks first: it does not make the other's shard again
    assert mine.done() == {0, 1}
    there.worker.take(its)
    assert its.status == "succeeded"
    here.store.refresh()
    assert mine.status == "succeeded"
    assert mine.manifest_path.read_bytes() == its.manifest_path.read_bytes()
    # The same shards as on one machine alone.
    alone = Settings(data_dir=tmp_path / "alone", redis_url=here.settings.redis_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SYNTHORAX_STORE")
        wanted, worker = new(alone), Worker(here.worker.server, alone)
        for _ in range(3):
            worker.take(wanted)
        worker.makers.end()
    shards = json.loads(mine.manifest_path.read_text())["shards"]
    for number, shard in enumerate(shards):
        assert not mine.shard(number).exists()  # it lies in the store
        path = here.store.generated.bring(mine, number, shard["sha256"])
        assert path.read_bytes() == wanted.shard(number).read_bytes()
    # What was meddled with is not served.
    damaged = bucket / "files" / "generated" / mine.id / "shards" / "000" / mine.shard(1).name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert hashlib.sha256(damaged.read_bytes()).hexdigest() != shards[1]["sha256"]
    with pytest.raises(Unusable, match=r"shard-000001\.zip"):
        there.store.generated.bring(its, 1, shards[1]["sha256"])
    assert not its.shard(1).exists()


def test_a_shard_counts_when_the_store_has_it(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = machines
    mine = new(here.settings, count=50)
    here.store.generated.give(mine)
    sweeper = GenerationSweeper(here.worker.redis, here.settings, here.worker.send)
    real, seen = FolderObjects.upload, []

    def upload(objects: FolderObjects, path: Path, key: str) -> None:
        sweeper.sweep()  # as this worker does every few seconds
        seen.append(mine.status)
        if len(seen) == 1:
            raise KeyboardInterrupt  # killed
        real(objects, path, key)

    monkeypatch.setattr(FolderObjects, "upload", upload)
    maker = Maker(here.settings)
    with pytest.raises(KeyboardInterrupt):
        maker.answer(mine.id, 0)
    sweeper.sweep()
    assert mine.missing() == [0]
    maker.answer(mine.id, 0)
    assert seen == ["running", "running"]
    sweeper.sweep()
    assert mine.status == "succeeded"
    assert not mine.shard(0).exists()
    shard = json.loads(mine.manifest_path.read_text())["shards"][0]
    assert here.store.generated.bring(mine, 0, shard["sha256"]).is_file()


def test_a_look_reads_the_blocks_that_others_are_at(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    mine = new(here.settings, count=500_000)
    here.store.generated.give(mine)
    there.store.refresh()
    its = there.job(mine.id)
    for number in (*range(1000), 1001):  # shard 1000 takes its worker longer
        there.store.objects.write(_shard_key(its, number, its.shard_record(number).name), b"{}")
    real, listed = FolderObjects.list, []

    def list_(objects: FolderObjects, prefix: str) -> dict[str, str]:
        listed.append(prefix.split("/")[-2])
        return real(objects, prefix)

    monkeypatch.setattr(FolderObjects, "list", list_)
    here.store.generated.look(mine)
    assert mine.done() == {*range(1000), 1001}
    listed.clear()
    here.store.generated.look(mine)
    assert listed == ["001", "002"]  # of five


def test_what_was_made_before_there_was_a_store_is_given(
    machines: tuple[Machine, Machine],
) -> None:
    here, there = machines
    mine = new(here.settings)
    engine = {"digest": "1" * 64, "backend": "onnxruntime", "precision": "float32"}
    mine.claim_engine(engine)
    mine.shard(0).write_bytes(b"zip")
    write_json(mine.shard_record(0), {"sha256": hashlib.sha256(b"zip").hexdigest()})
    here.store.refresh(give=True)
    there.store.refresh()
    its = there.job(mine.id)
    assert (its.engine, its.done()) == (engine, {0})
    path = there.store.generated.bring(its, 0, hashlib.sha256(b"zip").hexdigest())
    assert path.read_bytes() == b"zip"


def test_ends_and_deletions_are_followed(machines: tuple[Machine, Machine], bucket: Path) -> None:
    here, there = machines
    mine = new(here.settings)
    here.store.generated.give(mine)
    there.store.refresh()
    its = there.job(mine.id)
    its.finish("cancelled")
    there.store.generated.tell(its)
    here.store.refresh()
    assert mine.status == "cancelled"
    here.worker.take(mine)
    assert mine.done() == set()
    mine.unfinish()
    here.store.generated.tell(mine)
    there.store.refresh()
    assert its.status == "queued"
    there.worker.take(its)
    its.finish("cancelled")
    there.store.generated.tell(its)
    generate_jobs.remove(there.settings.data_dir, its.id)
    there.store.generated.remove(its.id)
    here.store.refresh()
    assert not mine.path.exists()
    there.store.refresh(give=True)
    here.store.refresh(give=True)
    assert generate_jobs.jobs(here.settings.data_dir) == []
    assert not list((bucket / "files").rglob("*.zip"))


def test_one_engine_makes_a_job_on_all_machines(machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    mine = new(here.settings)
    here.store.generated.give(mine)
    there.store.refresh()
    its = there.job(mine.id)
    one: Mapping[str, str] = {"digest": "1" * 64, "backend": "onnxruntime", "precision": "float32"}
    assert there.store.generated.claim_engine(its, one) == one
    assert here.store.generated.claim_engine(mine, {**one, "digest": "2" * 64}) == one
    assert mine.engine == one


def test_a_job_made_while_the_store_was_away_is_given_later(
    machines: tuple[Machine, Machine], bucket: Path
) -> None:
    here, there = machines
    mine = new(here.settings)
    bucket.rename(bucket.with_name("away"))
    with pytest.raises(StoreAway):
        here.store.generated.give(mine)
    here.worker.take(mine)  # says so, and leaves it
    assert mine.done() == set()
    bucket.with_name("away").rename(bucket)
    here.store.refresh(give=True)
    there.store.refresh()
    assert there.job(mine.id).record == mine.record
    assert isinstance(here.store.objects, FolderObjects)
