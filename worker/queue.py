"""The Celery application: three queues, JSON, late acknowledgement, Celery's own priorities."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError

from library.logs import request_id
from library.settings import Settings
from library.trace_context import traceparent
from worker import keys
from worker.connection import celery_broker
from worker.records import PRIORITY_STEPS, priority

RUN = "training.run"
VALIDATE = "light.validate"
REPORT = "light.report"
COST = "light.cost"
GENERATE = "generation.shard"
STUDY, STUDY_GENERATOR, STUDY_ARMS = "light.study", "training.study", "light.study_arms"
TRAINING, LIGHT, GENERATION = "training", "light", "generation"
QUEUES = (TRAINING, LIGHT, GENERATION)
ARMS_OF = "arms:"  # before a study's id, where a message names it for its arms
_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and a priority


def celery_app(settings: Settings) -> Celery:
    """Celery on the settings' Redis; nothing connects until a message is sent or a worker starts.

    A message that is not acknowledged comes again after the visibility timeout.  That is a
    backstop, longer than any job: leases find a dead worker within half a minute.
    """
    app = Celery("synthorax")
    visibility = settings.visibility_seconds
    app.conf.update(
        **celery_broker(settings.redis_url),
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,  # the record in Redis is the truth
        task_default_queue=TRAINING,
        task_routes={f"{queue}.*": {"queue": queue} for queue in QUEUES},
        task_create_missing_queues=False,
        task_queues=[Queue(queue) for queue in QUEUES],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        # With True and Redis a lost connection would lose the job.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=60.0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": visibility,
            "unacked_restore_interval": min(60, visibility),
            "unacked_restore_throttle": 1,
            "global_keyprefix": keys.CELERY,
            "socket_connect_timeout": 2.0,
            "priority_steps": PRIORITY_STEPS,
            "queue_order_strategy": "priority",
        },
        visibility_timeout=visibility,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        # Nobody on Redis can command a worker, and no channel is needed there.
        worker_enable_remote_control=False,
    )
    return app


def enqueue(app: Celery, record: Mapping[str, Any]) -> None:
    """Send a queued job to the workers.  Twice is harmless: the lease lets one run it.

    Raises redis.exceptions.RedisError, as all that send do.
    """
    _send(app, RUN, record["id"], TRAINING, priority(record), record.get("request_id"))


def enqueue_validation(app: Celery, dataset: str) -> None:
    """Send a dataset to the light queue.  Sending it twice is harmless, too."""
    _send(app, VALIDATE, dataset, LIGHT, 0)


def enqueue_report(app: Celery, report: str) -> None:
    """Send a report to the light queue, behind the datasets there.  Twice is harmless, too."""
    _send(app, REPORT, report, LIGHT, PRIORITY_STEPS[-1])


def enqueue_cost(app: Celery, cost: str) -> None:
    """Send what is to be measured to the light queue: somebody waits for it."""
    _send(app, COST, cost, LIGHT, 0)


def enqueue_generation(app: Celery, record: Mapping[str, Any]) -> None:
    """Send a generate job to the generation queue: one message makes one shard.

    Whoever sends it, it is of the request that made the job, and of that trace.
    """
    origin = record.get("request"), record.get("traceparent")
    _send(app, GENERATE, record["id"], GENERATION, 0, *origin)


def enqueue_study(app: Celery, record: Mapping[str, Any], queue: str) -> None:
    """Send a study to the light or the training queue, behind all else: a message does one unit."""
    task = STUDY_GENERATOR if queue == TRAINING else STUDY
    origin = record.get("request"), record.get("traceparent")
    _send(app, task, record["id"], queue, PRIORITY_STEPS[-1], *origin)


def enqueue_arms(app: Celery, record: Mapping[str, Any]) -> None:
    """Send a study to the light queue for the archive of its arms: somebody waits for it."""
    _send(app, STUDY_ARMS, record["id"], LIGHT, PRIORITY_STEPS[-1], about=ARMS_OF)


def _send(
    app: Celery,
    task: str,
    identity: str,
    queue: str,
    priority: int,
    request: str | None = None,
    parent: str | None = None,
    about: str = "",
) -> None:
    message = f"{about}{identity}.{secrets.token_hex(4)}"
    try:
        app.send_task(
            task,
            [identity],
            task_id=message,
            queue=queue,
            priority=priority,
            retry=False,
            headers={
                "request": request or request_id.get(),
                "traceparent": parent or traceparent.get(),
            },
        )
    except OperationalError as error:  # kombu's word for it
        raise ConnectionError(str(error)) from error


def waiting_messages(connection: redis.Redis, queue: str) -> int:
    """How many messages a queue holds."""
    client: Any = connection
    pipe = client.pipeline(transaction=False)
    for name in _lists(queue):
        pipe.llen(keys.CELERY + name)
    return int(sum(pipe.execute()))


def messages(connection: redis.Redis, queue: str) -> Counter[str]:
    """Jobs (or datasets, reports, studies) that have a message in a queue, and how many each.

    What a worker has taken and not acknowledged is not there.
    """
    client: Any = connection
    found: Counter[str] = Counter()
    for name in _lists(queue):
        for text in client.lrange(keys.CELERY + name, 0, -1):
            identity = json.loads(text)["headers"]["id"]  # as `enqueue` made it
            found[identity.rpartition(".")[0]] += 1
    return found


def _lists(queue: str) -> list[str]:
    """kombu's: one a priority."""
    return [f"{queue}{_SEPARATOR}{step}" if step else queue for step in PRIORITY_STEPS]
