"""Studies in a worker's hands: what lies on the disk is the truth, whoever is killed and when."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from library.errors import Conflict, NotFound
from library.settings import Settings
from library.studies import folder as studies
from library.studies.folder import Study
from library.studies.resolving import resolve
from tests import fake_study
from tests.valkey import Server
from worker import keys
from worker.leases import Lease
from worker.queue import (
    LIGHT,
    TRAINING,
    celery_app,
    enqueue_study,
    enqueue_validation,
    messages,
)
from worker.studies import StudySweeper, work_next

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"positive": "PNEUMONIA", "generators": 2, "generator": {"preset": "quick"}, "seed": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    redis: Any = server.client()
    redis.flushall()
    return Settings(data_dir=tmp_path, redis_url=server.url, attempts_max=2, lease_seconds=2)


def new(settings: Settings, **changes: Any) -> Study:
    config = resolve({**SMALL, **changes}).as_dict()
    record = {"dataset": "ds-0123456789ab", "fingerprint": "f" * 64, "config": config}
    return studies.create(settings.data_dir, studies.new_identity(), record)


class Worker:
    """A worker's hands, in this process; its children are real ones."""

    def __init__(self, server: Server, settings: Settings, **modes: str) -> None:
        self.settings, self.redis = settings, server.client()
        self.sent: list[str] = []  # queues
        self.drain = threading.Event()
        self.command = fake_study.command(**modes)

    def take(self, study: Study, queue: str = LIGHT) -> None:
        """A message for the study."""
        work_next(
            study.id, queue, self.redis, self.settings, self.drain, self.send, self.command
        )  # fmt: skip

    def finish(self, study: Study) -> None:
        for _ in study.units:
            for queue in (LIGHT, TRAINING):
                self.take(study, queue)

    def send(self, record: Mapping[str, Any], queue: str) -> None:  # noqa: ARG002
        self.sent.append(queue)

    def sweep(self) -> list[str]:
        self.sent.clear()
        StudySweeper(self.redis, self.settings, self.send).sweep()
        return self.sent


def left(study: Study) -> dict[str, bytes]:
    """What its units and results are, byte for byte."""
    paths = [*study.path.glob("units/*"), *study.path.glob("results-*/**/*")]
    return {
        str(path.relative_to(study.path)): path.read_bytes() for path in paths if path.is_file()
    }


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_units_go_to_the_queue_that_they_belong_to(server: Server, settings: Settings) -> None:
    worker, study = Worker(server, settings), new(settings)
    assert study.status == "queued"
    worker.take(study, TRAINING)  # nothing for it yet; but the light queue has a free unit
    assert (study.done(), worker.sent) == (set(), [LIGHT])
    worker.sent.clear()
    worker.take(study)
    assert study.done() == {"prepare"}
    assert study.status == "running"
    assert worker.sent == [TRAINING]  # the generators are ready, and nothing else is
    worker.take(study)
    assert study.done() == {"prepare"}
    worker.sent.clear()
    worker.take(study, TRAINING)
    assert worker.sent == [TRAINING, LIGHT, TRAINING]  # another is free; then its runs are, too
    worker.finish(study)
    assert study.status == "succeeded"
    assert study.done() == {unit.name for unit in study.units}
    before = left(study)
    worker.sent.clear()
    worker.take(study)  # a message that came again
    assert (left(study), worker.sent, worker.sweep()) == (before, [], [])
    redis: Any = worker.redis
    assert not redis.keys("synthorax:study:*")


def test_a_unit_that_is_held_is_left_alone(server: Server, settings: Settings) -> None:
    worker, study = Worker(server, settings), new(settings)
    held = Lease(worker.redis, keys.unit_lease(study.id, "prepare"), "another", 60)
    held.take()
    worker.take(study)
    assert (study.done(), worker.sent, worker.sweep()) == (set(), [], [])
    held.release()  # its worker died
    assert worker.sweep() == [LIGHT]
    app = celery_app(settings)
    enqueue_study(app, study.record, LIGHT)
    assert worker.sweep() == []  # it has a message
    assert messages(worker.redis, LIGHT) == {study.id: 1}
    worker.finish(study)
    assert study.status == "succeeded"


def test_a_unit_whose_process_dies_fails_the_study_in_the_end(
    server: Server, settings: Settings
) -> None:
    worker, study = Worker(server, settings, prepare="die"), new(settings)
    worker.take(study)
    assert study.status == "running"
    assert worker.sent[-1] == LIGHT
    worker.take(study)
    assert study.status == "failed"
    assert study.end is not None
    assert "Killed by its own hand" in study.end["error"]["detail"]
    assert f"/studies/{study.id}/resume" in study.end["error"]["detail"]
    worker.take(study)
    assert study.done() == set()
    study.unfinish()
    Worker(server, settings).finish(study)
    assert study.status == "succeeded"


def test_a_training_that_comes_further_each_time_may_die_often(
    server: Server, settings: Settings
) -> None:
    worker, study = Worker(server, settings, generator="begin"), new(settings, generators=1)
    worker.take(study)
    for _ in range(6):
        worker.take(study, TRAINING)
    assert study.status == "running"
    assert "generator-s1d0-g0" in study.done()
    worker = Worker(server, settings, runs="begin")  # runs have no checkpoints
    worker.finish(study)
    assert study.status == "failed"


def test_a_unit_that_ended_its_workers_is_not_begun_again(
    server: Server, settings: Settings
) -> None:
    worker, study = Worker(server, settings), new(settings)
    redis: Any = worker.redis
    redis.hset(keys.unit_attempts(study.id, "prepare"), "count", settings.attempts_max)
    worker.take(study)
    assert study.status == "failed"
    assert study.end is not None
    assert "ended its worker 2 times in a row" in study.end["error"]["detail"]


def test_a_problem_ends_the_study_and_a_resume_tries_again(
    server: Server, settings: Settings
) -> None:
    worker, study = Worker(server, settings, runs="refuse"), new(settings)
    worker.finish(study)
    assert study.status == "failed"
    assert study.end is not None
    assert study.end["error"]["detail"] == "There are too few patients."
    assert study.done() >= {"prepare", "generator-s1d0-g0"}
    assert worker.sweep() == []
    study.unfinish()
    assert LIGHT in worker.sweep()
    Worker(server, settings).finish(study)
    assert study.status == "succeeded"


@pytest.mark.parametrize("how", ["cancel", "drain", "lost", "deleted"])
def test_a_child_ends_when_nobody_wants_its_unit_any_longer(
    server: Server, settings: Settings, how: str
) -> None:
    worker, study = Worker(server, settings, prepare="hang"), new(settings)
    thread = threading.Thread(target=worker.take, args=(study,))
    thread.start()
    name, redis = keys.study_progress(study.id), worker.redis
    until(lambda: redis.hgetall(name))
    told: Any = redis.hgetall(name)
    assert json.loads(told["prepare"]) == {"phase": "reading images", "fraction": 0.0}
    if how == "cancel":
        study.finish("cancelled")
    elif how == "drain":
        worker.drain.set()
    elif how == "lost":
        redis.set(keys.unit_lease(study.id, "prepare"), "another", ex=60)
    else:
        study.finish("cancelled")
        studies.remove(settings.data_dir, study.id)
    thread.join(30)
    assert not thread.is_alive()
    assert study.path.exists() == (how != "deleted")
    if how in ("cancel", "drain"):  # that was no attempt
        assert not redis.exists(keys.unit_attempts(study.id, "prepare"))
        assert not redis.exists(keys.unit_lease(study.id, "prepare"))
        assert not redis.exists(name)
    if how == "drain":
        assert worker.sweep() == [LIGHT]


def test_a_long_unit_gives_way_to_what_waits_behind_it(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.study_unit.TURN_SECONDS", 0.5)
    monkeypatch.setattr("worker.study_unit.LOOK_SECONDS", 0.1)
    study = new(settings, generator={"images": "/synthetic"})
    Worker(server, settings).take(study)
    assert study.done() == {"prepare"}
    worker, app = Worker(server, settings, runs="hang"), celery_app(settings)
    enqueue_study(app, study.record, LIGHT)
    thread = threading.Thread(target=worker.take, args=(study,))
    thread.start()
    until(lambda: worker.redis.hgetall(keys.study_progress(study.id)))
    thread.join(1.5)
    assert thread.is_alive()  # nobody waits but the study itself
    enqueue_validation(app, "ds-0123456789ab")
    thread.join(30)
    assert not thread.is_alive()
    assert study.status == "running"
    assert not worker.redis.exists(keys.unit_attempts(study.id, "runs-s1d0-g0"))
    assert worker.redis.lpop(keys.CELERY + LIGHT)  # the dataset comes first
    Worker(server, settings).finish(study)
    assert study.status == "succeeded"


def test_only_what_has_ended_is_deleted(server: Server, settings: Settings) -> None:
    worker, study = Worker(server, settings), new(settings)
    with pytest.raises(Conflict, match="queued"):
        studies.remove(settings.data_dir, study.id)
    worker.take(study)
    study.finish("cancelled")
    studies.remove(settings.data_dir, study.id)
    with pytest.raises(NotFound):
        studies.find(settings.data_dir, study.id)
    worker.take(study)  # a message for what is no more
    assert not study.path.exists()
    halves = [
        study.path.with_name(f".deleted-{study.id}"),
        settings.data_dir / "reader-studies" / ".deleted-rs-1",
        settings.data_dir / "reader-studies" / ".making.0123.tmp",
    ]
    for half in halves:
        half.mkdir(parents=True)
    worker.sweep()
    assert not any(half.exists() for half in halves)


def test_a_score_makes_the_results_again(server: Server, settings: Settings) -> None:
    worker, study = Worker(server, settings), new(settings)
    worker.finish(study)
    (study.path / "scores" / "mine.csv").write_text("nothing")
    assert study.status == "running"
    assert worker.sweep() == [LIGHT]
    worker.take(study)
    assert study.status == "succeeded"
    assert study.results is not None
    assert study.results.name == "results-1"
    assert (study.path / "scores" / "mine.error.json").is_file()  # the study has not failed


def killed(server: Server, settings: Settings, seed: int, kills: int) -> list[dict[str, bytes]]:
    """Studies done by real Celery workers, which end by SIGKILL at random moments.

    Two kinds, and two more whenever all are done before all the kills are.
    """
    chance = random.Random(seed)
    made, others = list[Study](), list[Study]()
    app = celery_app(settings)
    environment = {
        **os.environ,
        "SYNTHORAX_REDIS_URL": server.url,
        "SYNTHORAX_DATA_DIR": str(settings.data_dir),
        "SYNTHORAX_LEASE_SECONDS": "1",
        "SYNTHORAX_ATTEMPTS_MAX": "1000",
        "SYNTHORAX_TRAIN_DEVICE": "cpu",
    }

    def worker(queue: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.study_worker", queue]
        return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)

    queues = (LIGHT, TRAINING)
    workers, done = [worker(queue) for queue in queues], 0
    deadline = time.monotonic() + 300
    try:
        while not all(study.status == "succeeded" for study in (*made, *others)) or done < kills:
            assert time.monotonic() < deadline, [study.end for study in (*made, *others)]
            if all(study.status == "succeeded" for study in (*made, *others)):
                made.append(new(settings))
                others.append(new(settings, kind="small_class", folds=2, repeats=1))
                for study in (made[-1], others[-1]):
                    enqueue_study(app, study.record, LIGHT)
            time.sleep(chance.uniform(0.2, 3.0))
            if done < kills:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(below(workers[done % 2].pid)), signal.SIGKILL)
                    done += 1
            for i, queue in enumerate(queues):
                if workers[i].poll() is not None:
                    workers[i] = worker(queue)
    finally:
        for process in workers:
            process.terminate()
        for process in workers:
            process.wait(60)
    assert done == kills
    return [left(study) for study in made]


def below(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*"):
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def compare(server: Server, settings: Settings, seed: int, kills: int) -> None:
    """Killed or not, a study comes to the same bytes, but for its own name."""
    calm = new(settings)
    Worker(server, settings).finish(calm)
    wanted = left(calm)
    for rough in killed(server, settings, seed, kills):
        assert rough.keys() == wanted.keys()
        for name in wanted.keys() - {"results-0/results.json"}:
            assert rough[name] == wanted[name], name
        one, other = (json.loads(each["results-0/results.json"]) for each in (wanted, rough))
        assert {**one, "study": ""} == {**other, "study": ""}


def test_a_killed_study_comes_to_the_same_results(server: Server, settings: Settings) -> None:
    compare(server, settings, seed=4, kills=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_a_study_killed_at_many_moments_comes_to_the_same_results(
    server: Server, settings: Settings, seed: int
) -> None:
    compare(server, dataclasses.replace(settings), seed, kills=12)
