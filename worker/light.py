"""The light queue: datasets are validated here, never behind a training job (reports: reports.py).

A validation holds a lease, is taken up again when its worker dies, and fails when it has ended its
worker too often.  Its record is a small file in the data folder (library.datasets).
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from celery import Celery, Task
from redis.exceptions import RedisError

from library.datasets.opened import commit_found, validated
from library.datasets.records import (
    change_record,
    commit,
    list_records,
    one_at_a_time,
    read_record,
    remove,
    tidy,
)
from library.datasets.validation import failed
from library.disk import as_problem
from library.errors import NotFound, SynthoraxError
from library.logs import request_id
from library.settings import Settings
from library.store.folders import Damaged
from library.store.objects import Missing, StoreAway
from library.store.shared import Store, open_store
from worker import counts, keys
from worker.connection import client
from worker.leases import Lease, Lost, renewed
from worker.left_behind import LeftBehind
from worker.queue import VALIDATE

logger = logging.getLogger("synthorax.worker")

TELL_SECONDS = 1.0  # between two notes of how far a validation is
TIDY_SECONDS = 60.0  # between two looks at what killed processes have left
SHARE_SECONDS = 5.0  # between two of them in the store, or two tries to reach it


class PoisonDataset(SynthoraxError):
    slug, title, status = "poison", "The validation ends whoever runs it", 500


def register(app: Celery, settings: Settings) -> None:
    """Add the light queue's tasks to a worker's application."""

    @app.task(name=VALIDATE, bind=True)
    def run(self: Task[Any, Any], dataset: str) -> None:  # noqa: ARG001
        validate_dataset(dataset, client(settings.redis_url), settings)


def validate_dataset(dataset: str, connection: redis.Redis, settings: Settings) -> None:
    """Validate a dataset whose record says so; nothing, when another worker is at it.

    Raises redis.exceptions.RedisError at the start; StoreAway: the sweep sends it again.
    """
    store, damaged = open_store(settings), None
    if store is not None:
        try:
            store.datasets.bring(dataset)
        except Damaged as error:
            damaged = error
    try:
        record = read_record(settings.data_dir, dataset)
    except NotFound:
        return
    lease = Lease(
        connection, keys.dataset_lease(dataset), secrets.token_hex(8), settings.lease_seconds
    )
    if record["status"] != "validating" or not lease.take():
        return
    request_id.set(record.get("request_id") or request_id.get())  # a sweep's message has none
    began = keys.dataset_attempts(dataset)
    typed: Any = connection  # redis-py's answers are unions
    attempts = typed.incr(began)
    typed.expire(began, keys.DATASET_ATTEMPTS_SECONDS)
    try:
        if damaged is not None or attempts > settings.attempts_max:
            _commit(settings, dataset, failed(damaged or _poison(attempts - 1)))
            if store is not None:  # what is damaged there stays, for who has it whole
                _push(store, dataset, folder=damaged is None)
        else:
            with renewed(lease, settings.lease_seconds) as check:
                _validate_and_commit(dataset, settings, check)
                if store is not None:
                    _share(store, dataset, check)
        typed.delete(began)
    except Lost:
        logger.warning("%s is another worker's now", dataset)
    finally:
        try:
            lease.release()
        except RedisError:
            logger.warning("%s: the lease could not be released and will run out", dataset)


def _validate_and_commit(dataset: str, settings: Settings, check: Callable[[], None]) -> None:
    with one_at_a_time(settings.data_dir, dataset):
        try:
            record = read_record(settings.data_dir, dataset)
        except NotFound:
            remove(settings.data_dir, dataset)  # the folder of our lock
            return
        if record["status"] == "validating":  # a trainer may have done it meanwhile
            find = partial(_found, record, settings, check)
            commit_found(settings.data_dir, dataset, find, partial(_commit, settings, dataset))


def _commit(settings: Settings, dataset: str, found: dict[str, Any]) -> None:
    commit(settings.data_dir, dataset, found)
    counts.add("synthorax_tasks_total", task="validate", outcome=str(found["status"]))


def _found(record: dict[str, Any], settings: Settings, check: Callable[[], None]) -> dict[str, Any]:
    told = shared = -SHARE_SECONDS
    store = open_store(settings)

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal told, shared
        check()
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            how_far = {"phase": phase, "done": done, "total": total}
            if not change_record(settings.data_dir, record["id"], {"progress": how_far}):
                raise Lost  # it was deleted
        if store is not None and time.monotonic() - shared >= SHARE_SECONDS:
            shared = time.monotonic()
            with contextlib.suppress(StoreAway):
                _push(store, record["id"], folder=False)

    try:
        return validated(settings.data_dir, record, progress)
    except SynthoraxError as error:  # the folder is gone, or holds nothing that can be used
        return failed(error)
    except OSError as error:
        problem = as_problem(error, settings.data_dir)
        if problem is None:
            raise
        return failed(problem)


def _share(store: Store, dataset: str, check: Callable[[], None]) -> None:
    """Put what was found into the store, waiting for it as long as it takes."""
    while True:
        check()
        try:
            _push(store, dataset)
            return
        except StoreAway as error:
            logger.warning("%s waits: %s", dataset, error)
        time.sleep(SHARE_SECONDS)


def _push(store: Store, dataset: str, folder: bool = True) -> None:
    try:
        store.datasets.push(dataset, folder)
    except Missing:  # deleted meanwhile, here or elsewhere
        remove(store.data_dir, dataset)
        raise Lost from None


def _poison(attempts: int) -> PoisonDataset:
    return PoisonDataset(
        f"The validation ended its worker {attempts} times in a row.",
        remedy="A file in the folder may be too large to decode: take it out, then POST /datasets "
        "again.",
    )


class DatasetSweeper:
    """Sends again what is to be validated and has neither a worker nor a message, and removes what
    killed processes have left."""

    def __init__(
        self, connection: redis.Redis, settings: Settings, send: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._left = LeftBehind(connection, keys.dataset_lease, send)
        self._tidied = -TIDY_SECONDS

    def sweep(self) -> None:
        if time.monotonic() - self._tidied >= TIDY_SECONDS:
            self._tidied = time.monotonic()
            tidy(self._settings.data_dir)
        waiting = [
            str(record["id"])
            for record in list_records(self._settings.data_dir)
            if record["status"] == "validating"
        ]
        self._left.look(waiting)
