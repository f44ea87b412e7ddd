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
from worker.connection import client
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
    while not _drain.is_set():
        try:
            store.beat(worker, BEAT_SECONDS)
            sweep(store)
        except RedisError as error:
            logger.warning("Redis is away (%s)", error)
        pause.wait(SWEEP_SECONDS)


def sweep(store: JobStore) -> list[str]:
    """Send running jobs that nobody holds to the queue again; returns their ids."""
    orphans = store.orphans()
    for job in orphans:
        moved, _ = store.transition(job, ("running",), "queued")
        if not moved:
            store.transition(job, ("cancelling",), "cancelled")
        else:
            logger.warning("%s was left behind and is queued again", job)
            enqueue(app, job)
    return orphans
