"""The Celery worker: `celery -A worker.app worker`, or `python -m worker`."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from celery import Task
from celery.exceptions import Reject
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from redis.exceptions import RedisError

from library.logs import configure, job_id, request_id
from library.settings import from_environment
from library.store.following import in_background
from library.store.shared import open_store
from library.trace_context import traceparent
from worker import counts, exposition, tracing
from worker.connection import client
from worker.costs import register as register_costs
from worker.generation import GenerationSweeper
from worker.generation import register as register_generation
from worker.heartbeat import Heartbeat, beat_seconds
from worker.jobs import JobStore
from worker.light import DatasetSweeper, register
from worker.queue import (
    GENERATION,
    LIGHT,
    RUN,
    STUDY_GENERATOR,
    TRAINING,
    celery_app,
    enqueue,
    enqueue_generation,
    enqueue_report,
    enqueue_study,
    enqueue_validation,
)
from worker.reports import ReportSweeper
from worker.reports import register as register_reports
from worker.studies import StudySweeper
from worker.studies import register as register_studies
from worker.study_arms import register as register_arms
from worker.supervisor import Requeue, supervise
from worker.sweeper import Sweeper
from worker.webhooks import deliver_forever
from worker.withdrawals import WithdrawalSweeper

logger = logging.getLogger("synthorax.worker")

settings = from_environment()
app = celery_app(settings)
# Set in the main process, seen by the forked pool process: works without Redis.
_drain = multiprocessing.get_context("fork").Event()
# Before the fork, too; None where nobody asks for numbers.
_counts = counts.Counts() if settings.worker_metrics_port else None
_drained: Any = _drain  # the same two methods as threading's


# Of the task at hand; one at a time.
_began: list[float] = []
_spans: list[tracing.Span] = []


@setup_logging.connect  # with a receiver, Celery leaves logging as it is
def _configure_logs(**_: Any) -> None:
    configure(settings.log)


@task_prerun.connect
def _tell_ids(task: Task[Any, Any], args: list[Any], **_: Any) -> None:
    """Lines of this task carry its job (or dataset, report) and the request that sent it."""
    job_id.set(args[0] if args else None)
    request_id.set(task.request.get("request"))
    _began[:] = [time.monotonic()]
    parent, queue = task.request.get("traceparent"), task.name.partition(".")[0]
    traceparent.set(parent)
    _spans.clear()
    if (
        queue in (LIGHT, GENERATION) or task.name == STUDY_GENERATOR
    ):  # an attempt at a train job is traced by its supervisor
        about = {"synthorax.task": task.request.id, "synthorax.request_id": request_id.get()}
        _spans.append(tracing.span(task.name, parent, about, "consumer"))
        traceparent.set(_spans[0].traceparent)


@task_postrun.connect
def _count_time(task: Task[Any, Any], **_more: Any) -> None:
    """Of all but train jobs: one may have several tasks, and counts itself."""
    for span in _spans:
        span.end()
    kind, _, name = task.name.partition(".")
    if (kind in (LIGHT, GENERATION) or task.name == STUDY_GENERATOR) and _began:
        counts.took("synthorax_task_seconds", time.monotonic() - _began[0], task=name)


register(app, settings)
register_costs(app, settings)
register_reports(app, settings, _drained)
register_generation(app, settings, _drained)
register_studies(app, settings, _drained)
register_arms(app, settings, _drained)


def send(record: Mapping[str, Any]) -> None:
    enqueue(app, record)


def send_report(report: str) -> None:
    enqueue_report(app, report)


@app.task(name=RUN, bind=True)
def run(self: Task[Any, Any], job: str) -> None:
    """Run a train job to its end; give it back when this worker is stopped."""
    store = JobStore(client(settings.redis_url))
    worker = str(self.request.hostname)
    try:
        supervise(job, store, settings, worker, _drained, send, send_report)
    except Requeue:
        raise Reject("the worker is being stopped", requeue=True) from None


@worker_process_init.connect
def _begin_tracing(**_: Any) -> None:
    tracing.begin("worker")


@worker_process_shutdown.connect
def _end_tracing(**_: Any) -> None:
    tracing.end()


@worker_shutting_down.connect
def _begin_drain(**_: Any) -> None:
    _drain.set()


@worker_ready.connect
def _watch(sender: Any, **_: Any) -> None:
    if _counts is not None:
        exposition.serve(_counts, settings)
    queue: str = next(iter(sender.app.amqp.queues.consume_from))
    beat = Heartbeat(client(settings.redis_url), settings, queue, sender.hostname)
    ended = threading.Event()
    thread = threading.Thread(target=_beat_forever, args=(beat, ended), daemon=True)
    thread.start()
    store = open_store(settings)
    stop_following = (
        None if store is None else in_background(store, settings.store_seconds, queue == LIGHT)
    )
    if queue == LIGHT and settings.webhook_secret:
        hooks = (JobStore(client(settings.redis_url)), settings, ended)
        threading.Thread(target=deliver_forever, args=hooks, daemon=True).start()

    @worker_shutdown.connect(weak=False)
    def _end(**_: Any) -> None:
        ended.set()
        if stop_following is not None:
            stop_following()
        thread.join(5)
        try:
            beat.end()
        except RedisError:
            logger.warning("Redis is away; the heartbeat will run out")


def _beat_forever(beat: Heartbeat, ended: threading.Event) -> None:
    """Say that this worker is alive, and take up jobs that a dead one left behind.

    Goes on through a drain: the worker lives until its trainer has written a checkpoint.
    """
    sweeper = Sweeper(JobStore(beat.connection), settings, send)
    datasets = DatasetSweeper(beat.connection, settings, lambda d: enqueue_validation(app, d))
    withdrawals = WithdrawalSweeper(settings)
    reports = ReportSweeper(beat.connection, settings, send_report)
    shards = GenerationSweeper(beat.connection, settings, partial(enqueue_generation, app))
    studies = StudySweeper(beat.connection, settings, partial(enqueue_study, app))
    pause = beat_seconds(settings)
    while True:
        try:
            beat.beat()
            _count(beat)
            if not _drain.is_set():
                sweeper.sweep(pause)
                if beat.queue == LIGHT:
                    datasets.sweep()
                    withdrawals.sweep()
                    reports.sweep()
                if beat.queue == GENERATION:
                    shards.sweep()
                if beat.queue in (LIGHT, TRAINING):
                    studies.sweep()
        except RedisError as error:
            counts.add("synthorax_worker_redis_errors_total")
            logger.warning("Redis is away (%s)", error)
        except Exception:
            # One record that cannot be read must not end the sweeps of all others.
            logger.exception("a sweep failed")
        if ended.wait(pause):
            return


def _count(beat: Heartbeat) -> None:
    counts.put("synthorax_worker_heartbeat_timestamp_seconds", time.time())
    for card in beat.cards:
        used, total = card.memory_used * 2**20, card.memory_total * 2**20
        counts.put("synthorax_gpu_memory_used_bytes", used, gpu=str(card.index))
        counts.put("synthorax_gpu_memory_total_bytes", total, gpu=str(card.index))
