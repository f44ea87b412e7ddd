"""What Redis knows of jobs, queues and workers, for /metrics: every replica tells the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric
from redis.exceptions import RedisError

from app.metrics import Values, gauge
from worker.heartbeat import workers
from worker.jobs import JobStore
from worker.queue import QUEUES, waiting_messages

_JOBS = "Train jobs that are queued, run, or are kept (with those that have ended)"
_AGE = "How long the job that has queued longest has waited; 0: none waits"


def overview(jobs: JobStore) -> Iterator[Metric]:
    """Families; `synthorax_redis_up` alone has a value while Redis is away."""
    try:
        counts, oldest = jobs.counts(), jobs.waited_longest()
        messages = {(queue,): waiting_messages(jobs.redis, queue) for queue in QUEUES}
        alive = Counter(each["queue"] for each in workers(jobs.redis))
    except RedisError:
        yield from _families(0, {}, {}, {}, {})
        return
    of_status = {("kept",): counts["jobs"]}
    of_status |= {(status,): counts[status] for status in ("queued", "running")}
    of_queue = {(queue,): alive[queue] for queue in QUEUES}
    yield from _families(1, of_status, {(): oldest}, messages, of_queue)


def _families(
    up: int, jobs: Values, oldest: Values, messages: Values, alive: Values
) -> Iterator[Metric]:
    yield gauge("synthorax_redis_up", "1: Redis answers the API", {(): up}, ())
    yield gauge("synthorax_jobs", _JOBS, jobs, ("status",))
    yield gauge("synthorax_jobs_oldest_queued_seconds", _AGE, oldest, ())
    yield gauge("synthorax_messages", "Celery messages that no worker took", messages, ("queue",))
    yield gauge("synthorax_workers", "Workers whose heart beats", alive, ("queue",))
