"""The Celery worker: `celery -A worker.app worker`, or `python -m worker`."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from typing import Any

from celery import Task
from celery.exceptions import Reject
from celery.signals import worker_ready, worker_shutting_down
from redis.exceptions import RedisError

from library.settings import from_environment
from worker.connection import CELERY_PREFIX, client
from worker.jobs import JobStore
from worker.queue import RUN, celery_app, enqueue
from worker.supervisor import Requeue, supervise

logger = logging.getLogger("synthorax.worker")

SWEEP_SECONDS = 10
BEAT_SECONDS = 30

settings = from_environment()
app = celery_app(settings.redis_url)
# Set in the main process, seen by the forked pool process: works without Redis.
_drain = multiprocessing.get_context("fork").Event()


@app.task(name=RUN, bind=True)
def run(self: Task[Any, Any], job: str) -> None:  # noqa: ARG001
    """Run a train job to its end; give it back when this worker is stopped."""
    store = JobStore(client(settings.redis_url))
    try:
        supervise(job, store, settings, _drain)  # type: ignore[arg-type]  # the same two methods
    except Requeue:
        raise Reject("the worker is being stopped", requeue=True) from None


@worker_shutting_down.connect
def _begin_drain(**_: Any) -> None:
    _drain.set()


@worker_ready.connect
def _watch(sender: Any, **_: Any) -> None:
    threading.Thread(target=_beat_forever, args=(sender.hostname,), daemon=True).start()


def _beat_forever(worker: str) -> None:
    """Say that this worker is alive, and take up jobs that a dead one left behind."""
    store = JobStore(client(settings.redis_url))
    pause = threading.Event()
    unsent: set[str] = set()
    while not _drain.is_set():
        try:
            store.beat(worker, BEAT_SECONDS)
            unsent = sweep(store, unsent)
        except RedisError as error:
            logger.warning("Redis is away (%s)", error)
        pause.wait(SWEEP_SECONDS)


def sweep(store: JobStore, unsent: set[str]) -> set[str]:
    """Send to the queue again what a dead worker left behind.

    A running job that nobody holds is queued again.  Queued jobs can lack a message too (a worker
    died while it gave one back): when the queue has fewer messages than there are queued jobs, now
    and at the last look (`unsent`, this function's answer then), those are sent again.
    """
    for job in store.orphans():
        moved, _ = store.transition(job, ("running",), "queued")
        if not moved:
            store.transition(job, ("cancelling",), "cancelled")
        else:
            logger.warning("%s was left behind and is queued again", job)
            enqueue(app, job)
    waiting = store.waiting()
    if len(waiting) <= store.redis.llen(f"{CELERY_PREFIX}training"):
        return set()
    for job in sorted(unsent.intersection(waiting)):
        logger.warning("%s had no message and is sent again", job)
        enqueue(app, job)
    return set(waiting) - unsent
