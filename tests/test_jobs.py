"""Job records: changes happen whole, under a fence, and every key is a documented one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.train_jobs.idempotency import Idempotency
from library.errors import Conflict, InvalidValue, NotFound
from library.settings import Settings
from tests.valkey import Server
from worker import keys
from worker.costs import cost_of
from worker.estimates import remember_rate, waits
from worker.heartbeat import Heartbeat, workers
from worker.jobs import FREE, Fenced, JobStore
from worker.leases import Lease
from worker.queue import LIGHT, TRAINING, celery_app, enqueue, enqueue_validation, messages
from worker.records import TERMINAL, event, keep_copy, read_copies
from worker.repair import lost, repair
from worker.study_unit import Attempts
from worker.sweeper import Sweeper, end_attempt

CONFIG = {
    "family": "dcgan",
    "resolution": 64,
    "generator_width": 8,
    "discriminator_width": 8,
    "batch_size": 10,
    "epochs": 3,
}
REQUEST: dict[str, Any] = {
    "dataset": {"path": "/images", "id": "ds-1"},
    "model": "tiny",
    "preset": "quick",
    "config": CONFIG,
    "metadata": {},
    "labels": [],
    "priority": "normal",
    "max_seconds": None,
    "images": 24,
    "cloned_from": None,
}
METRIC = {
    "epoch": 1, "epochs": 3, "images": 20, "fraction": 0.5, "eta_seconds": 7.0,
    "loss_d": 1.0, "loss_g": 1.0, "d_x": 0.5, "d_g_z1": 0.5, "d_g_z2": 0.5,
    "images_per_second": 4.0, "scope": "epoch", "step": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def store(server: Server) -> JobStore:
    server.client().flushall()
    return JobStore(server.client())


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, redis_url=server.url, attempts_max=3, train_device="cpu")


def running(store: JobStore, **changes: Any) -> str:
    """A job in the hands of a worker."""
    job = str(store.create({**REQUEST, **changes})["id"])
    assert store.lease(job, "mine", 60).take()
    store.transition(job, ("queued",), "running", fence="mine", attempt=1, worker="w@here")
    return job


def statuses(store: JobStore, job: str) -> list[str]:
    told = [json.loads(f["event"]) for _, f in store.redis.xrange(keys.events(job))]
    return [each["status"] for each in told if each["type"] == "status"]


def test_a_job_is_made_once(store: JobStore) -> None:
    first = store.create(REQUEST, "job-1", idempotency=(keys.idempotency("k"), "v"))
    again = store.create({**REQUEST, "model": "other"}, "job-1")
    assert again == first
    assert store.queued() == ["job-1"]
    assert statuses(store, "job-1") == ["queued"]
    assert store.counts() == {"jobs": 1, "queued": 1, "running": 0}


def test_whoever_holds_the_job_alone_may_write(store: JobStore) -> None:
    job = running(store)
    before = store.get(job), statuses(store, job)
    for fence in ("another", FREE):
        with pytest.raises(Fenced):
            store.transition(job, ("running",), "succeeded", fence=fence)
    with pytest.raises(Fenced):
        store.record_events(job, "another", [event("metric", job, **METRIC)])
    assert (store.get(job), statuses(store, job)) == before

    store.record_events(job, "mine", [event("metric", job, **METRIC)])
    assert store.get(job)["progress"]["fraction"] == 0.5
    assert store.transition(job, ("queued",), "succeeded", fence="mine") == (False, "running")
    assert store.transition(job, ("running",), "succeeded", fence="mine") == (True, "running")
    assert store.get(job)["finished_at"]
    with pytest.raises(NotFound):
        store.transition("job-none", ("queued",), "running")


def test_events_that_are_sent_again_are_there_once(store: JobStore) -> None:
    job = running(store)
    told = [event("log", job, level="info", message=str(i)) for i in range(6)]

    def messages_told() -> list[str]:
        entries = [json.loads(f["event"]) for _, f in store.redis.xrange(keys.events(job))]
        return [each["message"] for each in entries if each["type"] == "log"]

    store.record_events(job, "mine", told[:2])
    store.record_events(job, "mine", told[:2])  # the answer was lost
    assert messages_told() == ["0", "1"]
    store.record_events(job, "mine", told[:4])  # more had come in between
    store.record_events(job, "mine", told[2:4], before=2)
    store.record_events(job, "mine", told[4:5], before=4)
    assert messages_told() == ["0", "1", "2", "3", "4"]
    store.lease(job, "mine", 60).release()
    assert store.lease(job, "next", 60).take()
    store.record_events(job, "next", told[5:])  # another supervisor counts anew
    assert messages_told() == ["0", "1", "2", "3", "4", "5"]


def test_a_lease_is_its_holders(store: JobStore) -> None:
    mine, other = (Lease(store.redis, "synthorax:l", token, 60) for token in ("a", "b"))
    assert mine.take()
    assert not other.take()
    assert not other.renew()
    other.release()
    assert mine.renew()
    mine.release()
    assert not mine.renew()
    assert other.take()


def test_a_job_left_behind_is_taken_up_and_a_poison_job_is_not_for_ever(
    store: JobStore, settings: Settings
) -> None:
    app = celery_app(settings)
    sent: list[str] = []

    def send(record: Mapping[str, Any]) -> None:
        sent.append(record["id"])
        enqueue(app, record)

    job = str(store.create(REQUEST)["id"])
    for attempt in (1, 2, 3):
        # Its worker dies without a word: the record says running, nobody holds the lease.
        store.transition(job, ("queued",), "running", attempt=attempt, worker="w@here")
        store.redis.delete(keys.SWEEP)
        Sweeper(store, settings, send).sweep(1)
    assert sent == [job, job]
    record = store.get(job)
    assert record["status"] == "failed"
    assert record["error"]["type"].endswith("poison")
    assert "attempt 2: its worker w@here was lost" in record["error"]["detail"]
    assert [end["attempt"] for end in record["ends"]] == [1, 2, 3]
    # Its copy in the run folder tells the same.
    copy = json.loads((settings.data_dir / "runs" / job / "job.json").read_text())
    assert (copy["status"], copy["deaths"]) == ("failed", 3)


def test_a_checkpoint_further_on_ends_a_row_of_deaths(store: JobStore, settings: Settings) -> None:
    job = str(store.create(REQUEST)["id"])
    for attempt in range(1, 8):
        assert store.lease(job, "mine", 60).take()
        store.transition(job, ("queued",), "running", fence="mine", attempt=attempt)
        told = event("checkpoint", job, step=attempt, images=attempt)
        store.record_events(job, "mine", [told])
        store.lease(job, "mine", 60).release()
        store.redis.delete(keys.SWEEP)
        Sweeper(store, settings, lambda *_: None).sweep(1)
        assert store.get(job)["status"] == "queued"
        assert store.get(job)["deaths"] == 1


def test_a_cancelled_job_whose_worker_is_gone_is_cancelled(
    store: JobStore, settings: Settings
) -> None:
    job = str(store.create(REQUEST)["id"])
    store.transition(job, ("queued",), "running", attempt=1)
    store.transition(job, ("running",), "cancelling")
    Sweeper(store, settings, lambda *_: None).sweep(1)
    assert store.get(job)["status"] == "cancelled"


def test_a_queued_job_without_a_message_is_sent_at_the_second_look(
    store: JobStore, settings: Settings
) -> None:
    app, sent = celery_app(settings), []
    with_message, without = (str(store.create(REQUEST)["id"]) for _ in range(2))
    enqueue(app, store.get(with_message))
    sweeper = Sweeper(store, settings, lambda record: sent.append(record["id"]))
    for expected in ([], [without]):
        store.redis.delete(keys.SWEEP)
        sweeper.sweep(1)
        assert sent == expected
    # One worker sweeps at a time.
    sweeper.sweep(1)
    assert sent == [without]


def test_messages_are_told_by_job_at_every_priority(store: JobStore, settings: Settings) -> None:
    app = celery_app(settings)
    records = {
        priority: store.create({**REQUEST, "priority": priority})
        for priority in ("low", "normal", "high")
    }
    for record in records.values():
        enqueue(app, record)
    enqueue(app, records["low"])
    enqueue(app, {**records["normal"], "interrupted": True})
    enqueue_validation(app, "ds-1")
    there = messages(store.redis, TRAINING)
    assert {name: there[record["id"]] for name, record in records.items()} == {
        "high": 1,
        "normal": 2,
        "low": 2,
    }
    assert messages(store.redis, LIGHT) == {"ds-1": 1}


def test_an_interrupted_job_comes_before_others_of_its_priority(
    store: JobStore, settings: Settings
) -> None:
    interrupted = running(store)
    waiting = str(store.create(REQUEST)["id"])
    high = str(store.create({**REQUEST, "priority": "high"})["id"])
    record = store.get(interrupted)
    assert end_attempt(store, settings, record, "its worker was lost", "mine") == "queued"
    assert store.queued() == [high, interrupted, waiting]
    store.transition(waiting, ("queued",), "queued", finish=True)  # a wish does not move it
    assert store.queued() == [high, interrupted, waiting]
    store.transition(interrupted, ("queued",), "cancelled")
    store.transition(interrupted, ("cancelled",), "queued", drop=("interrupted",))
    assert store.queued() == [high, waiting, interrupted]


def test_records_are_rebuilt_after_redis_was_wiped(store: JobStore, settings: Settings) -> None:
    app = celery_app(settings)
    hook = "https://hooks.example.org/synthorax"
    states = {
        "queued": store.create({**REQUEST, "labels": ["x"]}, webhook=hook)["id"],
        "running": running(store),
        "cancelling": store.create(REQUEST, webhook=hook)["id"],
        "succeeded": running(store),
        "deleted": store.create(REQUEST)["id"],
    }
    store.transition(states["cancelling"], ("queued",), "cancelling")
    store.transition(states["succeeded"], ("running",), "succeeded", model="tiny@1")
    for job in states.values():
        keep_copy(settings.data_dir, store.get(job))
    before = {name: store.get(job) for name, job in states.items()}
    (settings.data_dir / "runs" / states["deleted"] / "job.json").unlink()
    store.redis.flushall()

    assert set(lost(store, settings.data_dir)) == set(states.values()) - {states["deleted"]}
    repaired = repair(store, settings.data_dir, lambda record: enqueue(app, record))
    assert {each.job: each.status for each in repaired} == {
        states["queued"]: "queued",
        states["running"]: "queued",  # it has no worker: the next one goes on with it
        states["cancelling"]: "cancelled",
        states["succeeded"]: "succeeded",
    }
    assert store.get(states["succeeded"]) == before["succeeded"]
    assert store.get(states["queued"]) == before["queued"]
    assert set(messages(store.redis, TRAINING)) == {states["queued"], states["running"]}
    assert store.counts() == {"jobs": 4, "queued": 2, "running": 0}
    assert lost(store, settings.data_dir) == []
    # Whoever is to be told of an end still is; of one that had come before nobody is again.
    assert store.redis.zrange(keys.WEBHOOKS, 0, -1) == [states["cancelling"]]
    store.transition(states["queued"], ("queued",), "cancelled")
    assert store.redis.zcard(keys.WEBHOOKS) == 2
    for job in states.values():
        if job != states["deleted"]:
            keep_copy(settings.data_dir, store.get(job))
    kept = {copy["id"]: copy.get("webhook") for copy in read_copies(settings.data_dir)}
    assert set(kept.values()) == {None}
    again = repair(store, settings.data_dir, lambda record: enqueue(app, record))
    assert again == []
    assert set(messages(store.redis, TRAINING).values()) == {1}


def test_what_is_told_of_a_wait(store: JobStore, settings: Settings) -> None:
    first, second = (str(store.create(REQUEST)["id"]) for _ in range(2))
    assert "no training worker" in waits(store)[first].reason
    Heartbeat(store.redis, settings, TRAINING, "w@here").beat()
    assert waits(store)[first].reason == "next: a worker is free"
    assert waits(store)[first].starts_in_seconds == 0
    assert waits(store)[second].reason == "waiting behind 1 job"
    assert waits(store)[second].starts_in_seconds is None  # the first one's speed is unknown
    remember_rate(store.redis, CONFIG, 6.0)
    # 24 images are 2 batches of 10, over 3 epochs: 60 images at 6 a second.
    assert waits(store)[second].starts_in_seconds == 10
    busy = running(store)
    assert waits(store)[first].starts_in_seconds is None  # no numbers of the running one yet
    store.record_events(busy, "mine", [event("metric", busy, **METRIC)])
    assert waits(store)[first].starts_in_seconds == 7
    assert waits(store)[second].starts_in_seconds == 17
    assert waits(store)[second].reason == "waiting behind 2 jobs"


def test_one_worker_a_card(
    store: JobStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"  # says what the driver's tool says on a machine with two
    driver.write_text(
        "#!/bin/sh\n"
        "echo '0, GPU-aa, NVIDIA H100, 81559, 1024'\n"
        "echo '1, GPU-bb, NVIDIA H100, 81559, [N/A]'\n"
        "echo '2, GPU-cc, NVIDIA H100, 81559, 0'\n"
    )
    driver.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    auto = replace(settings, train_device="auto")
    one, two = (Heartbeat(store.redis, auto, TRAINING, name) for name in ("a@h", "b@h"))
    one.begin()
    with pytest.raises(Conflict, match=r"GPU 2 .* is worked by a@h"):
        two.begin()
    one.beat()
    (said,) = workers(store.redis)
    assert [card["uuid"] for card in said["gpus"]] == ["GPU-cc"]
    assert said["gpus"][0]["memory_total"] == 81559
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-cc")
    two.begin()  # another card
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    third = Heartbeat(store.redis, auto, TRAINING, "c@h")
    one.end()
    third.begin()  # its card is free now
    assert workers(store.redis) == []


def documented() -> dict[str, str]:
    """The table of worker/keys.py: a pattern of each key, and what is said of its life."""
    assert keys.__doc__ is not None
    rows = keys.__doc__.split("\nkey ")[1].splitlines()[1:]
    table = {}
    for row in rows:
        name = row.split()[0]
        pattern = re.escape(f"synthorax:{name}").replace(r"\*", ".*")
        table[re.sub(r"\\{\w+\\}", "[^:]+", pattern)] = row.rsplit("  ", 1)[-1].strip()
    return table


def test_every_key_is_documented_and_lives_as_long_as_that_says(
    store: JobStore, settings: Settings
) -> None:
    app = celery_app(settings)
    reserved = Idempotency(store.redis, "key", "", "/train-jobs", {}).reserve()
    queued = store.create(REQUEST, reserved.job, idempotency=reserved.pair)
    enqueue(app, queued)
    enqueue_validation(app, "ds-1")
    running(store)
    ended = running(store)
    store.transition(ended, ("running",), "failed", error={}, webhook={"url": "http://h"})
    Heartbeat(store.redis, settings, TRAINING, "w@here").beat()
    Lease(store.redis, keys.gpu("GPU-1"), "w@here", 60).take()
    Lease(store.redis, keys.dataset_lease("ds-1"), "w@here", 60).take()
    store.redis.set(keys.dataset_attempts("ds-1"), 1, ex=keys.DATASET_ATTEMPTS_SECONDS)
    Lease(store.redis, keys.report_lease("rp-1"), "w@here", 60).take()
    store.redis.set(keys.report_attempts("rp-1"), 1, ex=keys.REPORT_ATTEMPTS_SECONDS)
    Lease(store.redis, keys.shard_lease("gj-1", 3), "w@here", 60).take()
    store.redis.set(keys.shard_attempts("gj-1", 3), 1, ex=keys.SHARD_ATTEMPTS_SECONDS)
    store.redis.hset(keys.shard_progress("gj-1"), "3", 256)
    store.redis.expire(keys.shard_progress("gj-1"), keys.SHARD_PROGRESS_SECONDS)
    Lease(store.redis, keys.unit_lease("st-1", "runs-r0f0-g0"), "w@here", 60).take()
    Attempts(store.redis, "st-1", "runs-r0f0-g0").begin()
    store.redis.hset(keys.study_progress("st-1"), "prepare", "{}")
    store.redis.expire(keys.study_progress("st-1"), keys.STUDY_PROGRESS_SECONDS)
    store.redis.set(keys.SWEEP, "now", px=1000)
    store.redis.set(keys.RESTORED, "identity")  # as worker/dump.py
    store.redis.sadd(keys.RESTORING + "jobs:running", "job-1")
    remember_rate(store.redis, CONFIG, 6.0)
    store.redis.set(keys.limit("requests", "0123abcd"), 1, px=60_000)  # as app/access/limits.py
    assert cost_of(store.redis, app, CONFIG, 24, 2, 1.0) == {"status": "measuring"}

    table, met = documented(), set()
    for key in store.redis.scan_iter("*"):
        rows = [pattern for pattern in table if re.fullmatch(pattern, key)]
        assert len(rows) == 1, f"{key} is not in the table of worker/keys.py"
        met.add(rows[0])
        for_good = ("until", "while", "for good")
        if not key.startswith(keys.CELERY):
            lasts = table[rows[0]].startswith(for_good)
            still_going = key.endswith(":events") and not key.startswith(keys.events(ended))
            assert (store.redis.ttl(key) == -1) == (lasts or still_going), key
    assert met == set(table), set(table) - met
    assert store.redis.ttl(keys.events(ended)) > 29 * 86_400


class Life(RuleBasedStateMachine):
    """Whatever comes to jobs in whatever order, record, sets and events agree."""

    store: JobStore
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.store.redis.flushall()

    @rule(target=jobs, priority=st.sampled_from(["high", "normal", "low"]))
    def create(self, priority: str) -> str:
        return str(self.store.create({**REQUEST, "priority": priority})["id"])

    @rule(job=jobs, token=st.sampled_from("ab"))
    def take(self, job: str, token: str) -> None:
        self.store.lease(job, token, 60).take()

    @rule(job=jobs, token=st.sampled_from("ab"))
    def release(self, job: str, token: str) -> None:
        self.store.lease(job, token, 60).release()

    @rule(
        job=jobs,
        allowed=st.sampled_from(
            [("queued",), ("running",), ("cancelling",), ("queued", "running")]
        ),
        status=st.sampled_from(["queued", "running", "cancelling", *sorted(TERMINAL)]),
        fence=st.sampled_from(["a", "b", FREE, ""]),
    )
    def transition(self, job: str, allowed: tuple[str, ...], status: str, fence: str) -> None:
        before = self.store.get(job)["status"]
        holder = self.store.redis.get(keys.job_lease(job))
        told = len(statuses(self.store, job))
        try:
            moved, found = self.store.transition(job, allowed, status, fence=fence)
        except Fenced:
            assert holder if fence == FREE else holder != fence
            moved, found = False, before
        else:
            assert moved == (before in allowed)
        assert found == before
        assert self.store.get(job)["status"] == (status if moved else before)
        assert len(statuses(self.store, job)) == told + moved

    @rule(job=consumes(jobs))
    def delete(self, job: str) -> None:
        ended = self.store.get(job)["status"] in TERMINAL
        try:
            self.store.delete(job)
            assert ended
            assert not self.store.redis.exists(keys.record(job), keys.events(job))
        except Conflict:
            assert not ended

    @invariant()
    def record_and_sets_agree(self) -> None:
        client = self.store.redis
        ids = client.zrange(keys.JOBS, 0, -1)
        now = {job: self.store.get(job)["status"] for job in ids}
        assert set(self.store.queued()) == {job for job in ids if now[job] == "queued"}
        assert set(self.store.running()) == {
            job for job in ids if now[job] in ("running", "cancelling")
        }
        for job in ids:
            assert statuses(self.store, job)[-1] == now[job]
            assert (client.ttl(keys.events(job)) > 0) == (now[job] in TERMINAL)


def test_record_sets_and_events_agree_whatever_happens(server: Server) -> None:
    Life.store = JobStore(server.client())
    run_state_machine_as_test(
        Life, settings=hypothesis_settings(max_examples=40, stateful_step_count=30, deadline=None)
    )


def test_a_key_that_was_reserved_makes_the_same_job_whoever_died(store: JobStore) -> None:
    body = {"model": "tiny"}
    first = Idempotency(store.redis, "k", "ann", "/train-jobs", body)
    assert first.made() is None
    reserved = first.reserve()  # and then its process dies
    second = Idempotency(store.redis, "k", "ann", "/train-jobs", body)
    assert second.made() is None
    assert second.reserve() == reserved
    store.create(REQUEST, reserved.job, idempotency=reserved.pair)
    assert second.made() == reserved.job
    for other in ({"model": "other"}, None):
        with pytest.raises(InvalidValue, match="used for another request"):
            Idempotency(store.redis, "k", "ann", "/train-jobs", other).made()
    assert Idempotency(store.redis, "k", "ann", "/train-jobs/x/clone", body).made() is None
    assert Idempotency(store.redis, "k", "bob", "/train-jobs", body).made() is None
