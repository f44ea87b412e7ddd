"""What a study's arms are trained on, as one archive: made on the light queue when it is asked for.

It is no unit: no result needs it, and whoever asks for it again sends it again.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable
from typing import Any

import redis
from celery import Celery, Task
from redis.exceptions import RedisError

from library.atomic import write_json
from library.errors import NotFound, SynthoraxError
from library.settings import Settings
from library.studies import folder as studies
from library.studies.folder import Study
from worker import counts, keys
from worker.child import ChildProcess
from worker.connection import client
from worker.leases import Lease, Lost, renewed
from worker.queue import ARMS_OF, LIGHT, STUDY_ARMS, messages

logger = logging.getLogger("synthorax.worker")

ARMS = "arms"  # in the place of a unit's name
TICK_SECONDS = 0.2
GRACE_SECONDS = 20.0
COMMAND = (sys.executable, "-m", "studies", "arms")


class ArmsProcess(ChildProcess):
    kind = "study"


def register(app: Celery, settings: Settings, drain: threading.Event) -> None:
    """Add the task to a worker's application."""

    @app.task(name=STUDY_ARMS, bind=True)
    def run(self: Task[Any, Any], study: str) -> None:  # noqa: ARG001
        make_arms(study, client(settings.redis_url), settings, drain, COMMAND)


def is_made(study: Study, connection: redis.Redis) -> bool:
    """Whether somebody is at it, or it waits for a worker."""
    if connection.exists(keys.unit_lease(study.id, ARMS)):
        return True
    return bool(messages(connection, LIGHT)[ARMS_OF + study.id])


def make_arms(
    identity: str,
    connection: redis.Redis,
    settings: Settings,
    drain: threading.Event,
    command: tuple[str, ...],
) -> None:
    """Make arms.zip; nothing, when it is there or another worker is at it."""
    key = keys.unit_lease(identity, ARMS)
    lease = Lease(connection, key, secrets.token_hex(8), settings.lease_seconds)
    if drain.is_set() or not lease.take():
        return
    try:
        study = studies.find(settings.data_dir, identity)
        if (study.path / "arms.zip").is_file():
            return
        with renewed(lease, settings.lease_seconds) as check:
            child = ArmsProcess([*command, str(study.path)], study.unit_log(ARMS), {})
            _follow(child, study, drain, check)
    except NotFound:
        logger.warning("%s is not here, or deleted", identity)
    except Lost:
        logger.warning("%s: its arms are another worker's now", identity)
    finally:
        try:
            lease.release()
        except RedisError:
            logger.warning("%s: the lease could not be released and will run out", identity)


def _follow(
    child: ArmsProcess, study: Study, drain: threading.Event, check: Callable[[], None]
) -> None:
    problem, parent, code, stopped = None, os.getppid(), None, False
    try:
        while code is None:
            for told in child.events(TICK_SECONDS):
                if told["type"] == "failed":
                    problem = told["error"]
            check()
            if drain.is_set() or os.getppid() != parent or not study.path.is_dir():
                stopped = True
                child.stop(GRACE_SECONDS)
            code = child.ended()
    finally:
        child.close()  # also when this process is ending by an exception: no orphan
    if stopped or not study.path.is_dir():
        return
    made = (study.path / "arms.zip").is_file()
    counts.add("synthorax_tasks_total", task="study_arms", outcome="done" if made else "failed")
    if not made:
        words = f"Its process ended with {code}. {child.last_words()[-500:]}".strip()
        write_json(study.path / f"{ARMS}.error.json", problem or SynthoraxError(words).as_problem())
