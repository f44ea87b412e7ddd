"""Studies on the light and the training queue: one message does one unit, in a child of its own.

A message names a study, not a unit: whoever takes it takes the first unit of its queue that is
ready and that nobody holds, and sends the study again to each queue that has such a unit.  So there
is about one message a study and queue, and a worker that dies takes no message with it.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import redis
from celery import Celery, Task
from redis.exceptions import RedisError

from library.errors import NotFound
from library.logs import request_id
from library.reader_studies import folder as reader_studies
from library.settings import Settings
from library.studies import folder as studies
from library.studies.folder import ENDED, Study
from library.studies.units import Unit
from worker import keys
from worker.connection import client
from worker.leases import Lease, Lost, renewed
from worker.queue import LIGHT, STUDY, STUDY_GENERATOR, TRAINING, enqueue_study, messages
from worker.study_unit import Attempt, Command, work

logger = logging.getLogger("synthorax.worker")

Send = Callable[[Mapping[str, Any], str], None]  # a study's record, a queue


def register(app: Celery, settings: Settings, drain: threading.Event) -> None:
    """Add the studies' tasks, one a queue, to a worker's application."""
    send = partial(enqueue_study, app)

    @app.task(name=STUDY, bind=True)
    def run(self: Task[Any, Any], study: str) -> None:  # noqa: ARG001
        work_next(study, LIGHT, client(settings.redis_url), settings, drain, send)

    @app.task(name=STUDY_GENERATOR, bind=True)
    def train(self: Task[Any, Any], study: str) -> None:  # noqa: ARG001
        work_next(study, TRAINING, client(settings.redis_url), settings, drain, send)


def queue_of(unit: Unit) -> str:
    return TRAINING if unit.on_training_queue else LIGHT


def work_next(
    identity: str,
    queue: str,
    connection: redis.Redis,
    settings: Settings,
    drain: threading.Event,
    send: Send,
    command: Command = work,
) -> None:
    """Do the next unit of a study on this queue that nobody holds, if there is one.

    Raises redis.exceptions.RedisError at the start.
    """
    try:
        study = studies.find(settings.data_dir, identity)
        if study.status in ENDED or drain.is_set():
            return
        claimed = _claim(study, queue, connection, settings)
        send_again(study, connection, send)
        if claimed is None:
            return
        unit, lease = claimed
        request_id.set(study.record.get("request") or request_id.get())
        try:
            with renewed(lease, settings.lease_seconds) as check:
                Attempt(study, unit, connection, settings, drain).run(command, check)
        except Lost:
            logger.warning("%s: %s is another worker's now", identity, unit.name)
        finally:
            try:
                lease.release()
            except RedisError:
                logger.warning("%s: the lease could not be released and will run out", identity)
        if not drain.is_set():  # else the sweep of whoever goes on
            send_again(study, connection, send)
    except NotFound:
        logger.warning("%s is not here, or deleted", identity)


def free_units(study: Study, connection: redis.Redis) -> list[Unit]:
    """Units that can be done now and that nobody is at."""
    ready = study.ready()
    pipe: Any = connection.pipeline(transaction=False)
    for unit in ready:
        pipe.exists(keys.unit_lease(study.id, unit.name))
    return [unit for unit, held in zip(ready, pipe.execute(), strict=True) if not held]


def send_again(study: Study, connection: redis.Redis, send: Send) -> None:
    """Put a study into each queue that has a free unit of it and no message."""
    if study.status in ENDED:
        return
    for queue in sorted({queue_of(unit) for unit in free_units(study, connection)}):
        if not messages(connection, queue)[study.id]:
            send(study.record, queue)


def _claim(
    study: Study, queue: str, connection: redis.Redis, settings: Settings
) -> tuple[Unit, Lease] | None:
    token = secrets.token_hex(8)
    for unit in free_units(study, connection):
        if queue_of(unit) != queue:
            continue
        key = keys.unit_lease(study.id, unit.name)
        lease = Lease(connection, key, token, settings.lease_seconds)
        if not lease.take():
            continue
        if unit.name not in study.done():
            return unit, lease
        lease.release()  # done between the two looks
    return None


class StudySweeper:
    """Sends again the studies that have free units and no message: a worker died with the last.

    And removes what is left of studies, and of reader studies, that were not made or deleted whole.
    """

    def __init__(self, connection: redis.Redis, settings: Settings, send: Send) -> None:
        self._connection, self._settings, self._send = connection, settings, send

    def sweep(self) -> None:
        studies.remove_deleted(self._settings.data_dir)
        reader_studies.remove_left(self._settings.data_dir)
        for study in studies.unfinished(self._settings.data_dir):
            send_again(study, self._connection, self._send)
