"""What a worker does about the store for one job, with a real Valkey and a store in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from library.atomic import write_json
from library.runs import run_folder
from library.settings import Settings
from library.store.runs import Place
from library.store.shared import Store, open_store
from tests.test_jobs import REQUEST
from tests.valkey import Server
from worker import keys
from worker.jobs import JobStore
from worker.link import Link
from worker.sharing import Sharing, Stopped


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


class Worker:
    """A machine that holds a job."""

    def __init__(self, server: Server, folder: Path, name: str, **request: Any) -> None:
        found = Settings(data_dir=folder / name, store=f"file://{folder}/store")
        opened = open_store(found)
        assert opened is not None
        self.store: Store = opened
        self.jobs = JobStore(server.client())
        self.job = str(self.jobs.create({**REQUEST, **request})["id"])
        self.link = Link(self.jobs, found, self.job, f"{name}:token")
        assert self.link.take()
        self.link.move(("queued",), "running", attempt=1)
        self.stopping = False
        self.sharing = Sharing(self.store, self.link, lambda: self.stopping)
        self.run = run_folder(found.data_dir, self.job)

    def trained(self, step: int) -> None:
        self.run.path.mkdir(parents=True, exist_ok=True)
        with open(self.run.metrics, "a", encoding="utf-8") as file:
            file.write(f'{{"step": {step}}}\n')

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            self.link.sync()
            self.sharing.tick()
            time.sleep(0.02)

    def told(self) -> str:
        self.link.sync()
        events: Any = self.jobs.redis.xrange(keys.events(self.job))
        return str(events)


@pytest.fixture
def worker(server: Server, tmp_path: Path) -> Iterator[Worker]:
    server.client().flushall()
    (tmp_path / "store").mkdir()
    made = Worker(server, tmp_path, "here")
    yield made
    made.sharing.close()


def test_an_attempt_that_the_store_has_is_not_had_again(worker: Worker) -> None:
    """Redis had lost the record, and it was rebuilt from an old copy."""
    worker.store.runs.begin(worker.job, 3)
    worker.trained(1)
    worker.store.runs.push(worker.job, 3)
    assert worker.sharing.bring(1) == 4
    worker.sharing.push_soon()
    worker.until(lambda: worker.store.runs.newest(worker.job) == Place(4, 1))


@pytest.mark.usefixtures("worker")
def test_a_resumed_run_does_not_end_where_it_was_told_to_before(
    server: Server, tmp_path: Path
) -> None:
    resumed = Worker(server, tmp_path, "there", resumed_after=1)
    for attempt, left in ((1, False), (2, True)):  # an end that was decided after that counts
        resumed.store.runs.begin(resumed.job, attempt)
        resumed.trained(1)
        write_json(resumed.run.finish, {"step": 7})
        resumed.store.runs.push(resumed.job, attempt)
        resumed.sharing.bring(attempt + 1)
        assert resumed.run.finish.exists() == left
    resumed.sharing.close()


def test_a_worker_whose_run_is_another_s_learns_it(worker: Worker) -> None:
    assert worker.sharing.bring(1) == 1
    worker.store.runs.begin(worker.job, 2)
    worker.trained(1)
    worker.store.runs.push(worker.job, 2)
    worker.sharing.push_soon()
    worker.until(lambda: worker.sharing.superseded)


def test_a_first_attempt_begins_without_the_store_and_pushes_later(
    worker: Worker, tmp_path: Path
) -> None:
    (tmp_path / "store").rename(tmp_path / "away")
    assert worker.sharing.bring(1) == 1  # its dataset lies in a folder of this machine
    worker.trained(1)
    worker.sharing.push_soon()
    worker.until(lambda: "The store is away" in worker.told())
    assert not worker.sharing.superseded
    (tmp_path / "away").rename(tmp_path / "store")
    worker.until(lambda: worker.store.runs.newest(worker.job) == Place(1, 1))
    worker.until(lambda: "The store is back" in worker.told())


def test_a_later_attempt_waits_for_the_store_until_it_is_stopped(
    worker: Worker, tmp_path: Path
) -> None:
    (tmp_path / "store").rename(tmp_path / "away")
    looks = 0

    def stopping() -> bool:
        nonlocal looks
        looks += 1
        return looks > 5

    sharing = Sharing(worker.store, worker.link, stopping)
    with pytest.raises(Stopped):
        sharing.bring(2)
    sharing.close()
    assert "the job waits for it" in worker.told()


def test_an_attempt_that_does_not_end_well_leaves_its_last_state(worker: Worker) -> None:
    worker.sharing.bring(1)
    worker.trained(1)
    worker.sharing.settle()
    assert worker.store.runs.newest(worker.job) == Place(1, 1)
