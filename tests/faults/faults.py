"""The faults: what is killed, how, and at which moment.

Each waits for its moment, strikes, and leaves the cluster with everything running again.  It
returns the job that it hit (None: no job in particular), or raises Missed when its moment did not
come while there was a job to hit.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from library.settings import Settings
from tests.faults.cluster import LEASE_SECONDS, Cluster, Part
from tests.faults.jobs import config
from worker import keys
from worker.queue import TRAINING, celery_app, enqueue, messages
from worker.repair import repair

MOMENT_SECONDS = 25.0  # the longest wait for a moment
KILL, TERM = signal.SIGKILL, signal.SIGTERM


class Missed(Exception):
    """The moment did not come."""


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Callable[[Cluster, random.Random], str | None]


def _running(cluster: Cluster, dice: random.Random) -> str:
    """A job that runs, with its trainer alive."""
    until = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < until:
        jobs = [job for job in cluster.store.running() if cluster.trainers(job)]
        if jobs:
            return dice.choice(jobs)
        time.sleep(0.05)
    raise Missed


def _strike(cluster: Cluster, pid: int, number: signal.Signals) -> None:
    cluster.struck_at = time.time()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _trainer(number: signal.Signals) -> Callable[[Cluster, random.Random], str]:
    def strike(cluster: Cluster, dice: random.Random) -> str:
        job = _running(cluster, dice)
        time.sleep(dice.uniform(0, 2))  # also while it loads
        for pid in cluster.trainers(job):
            _strike(cluster, pid, number)
        return job

    return strike


def _trainer_when(appears: Callable[[Cluster, str], bool]) -> Callable[..., str]:
    """Kill the trainer at the moment when something appears on the disk."""

    def strike(cluster: Cluster, dice: random.Random) -> str:
        _running(cluster, dice)
        until = time.monotonic() + MOMENT_SECONDS
        while time.monotonic() < until:
            jobs = cluster.store.running()
            looked = time.monotonic()
            while time.monotonic() - looked < 0.2:
                for job in jobs:
                    if appears(cluster, job):
                        trainers = cluster.trainers(job)
                        for pid in trainers:
                            _strike(cluster, pid, KILL)
                        if trainers:
                            return job
        raise Missed

    return strike


def _half_a_checkpoint(cluster: Cluster, job: str) -> bool:
    return any((cluster.data_dir / "runs" / job / "checkpoints").glob(".*.tmp"))


def _half_a_version(cluster: Cluster, job: str) -> bool:
    return any((cluster.data_dir / "models").glob(f"*/.{job}.*.tmp"))


def _worker(number: signal.Signals, group: bool) -> Callable[[Cluster, random.Random], str]:
    def strike(cluster: Cluster, dice: random.Random) -> str:
        job = _running(cluster, dice)
        time.sleep(dice.uniform(0, 2))
        name = str(cluster.store.get(job).get("worker", "")).split("@")[0]
        part = next(worker for worker in cluster.workers if worker.name == name)
        cluster.struck_at = time.time()
        part.signal(number, group)
        _restart(part, dice)
        return job

    return strike


def _pool_process(cluster: Cluster, dice: random.Random) -> str:
    """Kill the forked process that supervises the trainer, not the worker around it."""
    job = _running(cluster, dice)
    time.sleep(dice.uniform(0, 1))
    try:
        stat = Path(f"/proc/{cluster.trainers(job)[0]}/stat").read_text()
    except (OSError, IndexError):  # it has just ended
        raise Missed from None
    _strike(cluster, int(stat.rpartition(")")[2].split()[1]), KILL)
    return job


def _worker_before_its_trainer(cluster: Cluster, dice: random.Random) -> str:
    """Kill the worker's group between its claim of a job and its trainer's start."""
    until = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < until:
        for job in cluster.store.running():
            if not cluster.trainers(job):
                name = str(cluster.store.get(job).get("worker", "")).split("@")[0]
                for part in cluster.workers:
                    if part.name == name:
                        cluster.struck_at = time.time()
                        part.signal(KILL, group=True)
                        _restart(part, dice)
                        return job
    raise Missed


def _restart(part: Part, dice: random.Random) -> None:
    part.wait()
    time.sleep(dice.uniform(0, 2))  # another worker may take the job, or the same one again
    part.start()


def _valkey(number: signal.Signals) -> Callable[[Cluster, random.Random], None]:
    def strike(cluster: Cluster, dice: random.Random) -> None:
        time.sleep(dice.uniform(0, 2))
        assert cluster.server.process is not None
        cluster.struck_at = time.time()
        cluster.server.process.send_signal(number)
        cluster.server.process.wait()
        # Also for longer than a lease: the jobs go on meanwhile.
        time.sleep(dice.choice([0, 1, 1.5 * LEASE_SECONDS]))
        cluster.server.start()

    return strike


def _wiped(cluster: Cluster, dice: random.Random) -> None:
    """Everything in Redis is lost; the records come back from the run folders."""
    time.sleep(dice.uniform(0, 2))
    cluster.struck_at = time.time()
    cluster.store.redis.flushall()
    time.sleep(dice.uniform(0, 1))
    settings = Settings(data_dir=cluster.data_dir, redis_url=cluster.server.url)
    app = celery_app(settings)
    repair(cluster.store, cluster.data_dir, lambda record: enqueue(app, record))


def _api(number: signal.Signals) -> Callable[[Cluster, random.Random], None]:
    def strike(cluster: Cluster, dice: random.Random) -> None:
        time.sleep(dice.uniform(0, 2))
        cluster.struck_at = time.time()
        cluster.api.signal(number)
        cluster.api.wait()
        cluster.api.start()

    return strike


def _api_between_record_and_queue(cluster: Cluster, dice: random.Random) -> str:
    """Kill the API when a job's record is there and its message is not."""
    for _ in range(20):
        before = set(_all_jobs(cluster))
        body = cluster.request(**config(dice))

        def send(body: dict[str, object] = body) -> None:
            with contextlib.suppress(httpx.TransportError):
                httpx.post(f"{cluster.http.base_url}/train-jobs", json=body, timeout=60)

        _wait_for_api(cluster)
        sender = threading.Thread(target=send)
        sender.start()
        until = time.monotonic() + 10
        while time.monotonic() < until and set(_all_jobs(cluster)) == before:
            pass
        cluster.struck_at = time.time()
        cluster.api.signal(KILL)
        there = messages(cluster.store.redis, TRAINING)
        cluster.api.wait()
        sender.join()
        cluster.api.start()
        made = set(_all_jobs(cluster)) - before
        if not made:
            continue
        (job,) = made
        if job not in there and cluster.store.get(job)["attempt"] == 0:
            return job
    raise Missed


def _all_jobs(cluster: Cluster) -> list[str]:
    ids: list[str] = cluster.store.redis.zrange(keys.JOBS, 0, -1)
    return ids


def _wait_for_api(cluster: Cluster) -> None:
    until = time.monotonic() + 60
    while not cluster.answers():
        if time.monotonic() > until:
            raise Missed
        time.sleep(0.05)


FAULTS = (
    Fault("trainer, SIGKILL", _trainer(KILL)),
    Fault("trainer, SIGTERM", _trainer(TERM)),
    Fault("trainer, SIGKILL while a checkpoint is written", _trainer_when(_half_a_checkpoint)),
    Fault("trainer, SIGKILL while a version is published", _trainer_when(_half_a_version)),
    Fault("worker, SIGKILL", _worker(KILL, group=False)),
    Fault("worker, SIGTERM", _worker(TERM, group=False)),
    Fault("worker's supervising process, SIGKILL", _pool_process),
    Fault("worker's whole group, SIGKILL", _worker(KILL, group=True)),
    Fault("worker's group, SIGKILL before its trainer starts", _worker_before_its_trainer),
    Fault("Valkey, SIGKILL", _valkey(KILL)),
    Fault("Valkey, SIGTERM", _valkey(TERM)),
    Fault("Valkey wiped, records rebuilt", _wiped),
    Fault("API, SIGKILL", _api(KILL)),
    Fault("API, SIGTERM", _api(TERM)),
    Fault("API, SIGKILL between record and message", _api_between_record_and_queue),
)
