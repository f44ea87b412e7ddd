"""A supervisor's line to Redis: lease, events, wishes.  Redis may be away; training goes on."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from redis.exceptions import RedisError

from library.errors import NotFound
from library.settings import Settings
from worker import counts, keys
from worker.jobs import Fenced, JobStore
from worker.records import TERMINAL, event, keep_copy

logger = logging.getLogger("synthorax.worker")

EVENTS_A_CALL = 100
RAN_SECONDS = 5.0  # between two notes of how long the job has run
DRAIN_SECONDS = 5.0  # how long a worker that is being stopped waits for Redis


class Link:
    """One job, held by a lease.

    cancelled, finishing: what users wish.  lost: the job is another's, nothing more is written.
    """

    def __init__(self, store: JobStore, settings: Settings, job: str, token: str) -> None:
        self._store, self._settings, self.job = store, settings, job
        self._lease = store.lease(job, token, settings.lease_seconds)
        # While Redis is away; metrics.jsonl in the run folder keeps every number anyway.
        self._unsent: deque[dict[str, Any]] = deque()
        self._sent = 0  # under this lease's token
        self._away = False
        self._noted_at = time.monotonic()
        self.record: dict[str, Any] = {}
        self.cancelled = self.finishing = self.lost = False
        self.ran_seconds = 0.0

    def take(self) -> bool:
        """Take the lease and read the record.  Raises NotFound, RedisError."""
        if not self._lease.take():
            return False
        self.record = self._store.get(self.job)
        return True

    @property
    def token(self) -> str:
        return self._lease.token

    def refresh(self) -> None:
        """Read the record again, after a change by others, and keep its copy."""
        self.record = self._store.get(self.job)
        try:
            keep_copy(self._settings.data_dir, self.record)
        except OSError as error:  # a full disk must not keep the job from its end
            logger.warning("%s: no copy in its run folder (%s)", self.job, error.strerror)

    def release(self) -> None:
        try:
            self._lease.release()
        except RedisError:
            logger.warning("%s: the lease could not be released and will run out", self.job)

    def tell(self, told: Mapping[str, Any]) -> None:
        """An event for the job's stream: sent by the next `sync`."""
        self._unsent.append(dict(told))
        if len(self._unsent) > keys.EVENTS_KEPT:
            self._unsent.popleft()

    def log(self, message: str, level: str = "warning") -> None:
        self.tell(event("log", self.job, level=level, message=message))

    def sync(self) -> None:
        """Renew the lease, send what waits, read what users wish."""
        try:
            self._own()
            if not self.lost:
                self._flush()
                self._note_time()
                self._read()
            if self._away:
                logger.warning("%s: Redis is back", self.job)
            self._away = False
        except Fenced:
            self.lost = True
        except NotFound:
            self._put_back()
        except RedisError as error:
            if not self._away:
                logger.warning("%s: Redis is away (%s); training goes on", self.job, error)
            self._away = True

    def move(self, allowed: tuple[str, ...], status: str, **fields: Any) -> bool:
        """One transition under this lease.  Raises Fenced, NotFound, RedisError."""
        moved, _ = self._store.transition(
            self.job, allowed, status, fence=self._lease.token, **fields
        )
        if moved:
            logger.info("%s is %s", self.job, status, extra={"status": status})
            self._count(status)
            self.refresh()
        return moved

    def _count(self, status: str) -> None:
        if status == "running":
            counts.add("synthorax_attempts_total")
            return
        counts.add("synthorax_attempt_ends_total", outcome=status)
        if status in TERMINAL:
            counts.took("synthorax_job_run_seconds", self.ran_seconds, outcome=status)

    def insist(self, write: Callable[[], Any], stopping: Callable[[], bool]) -> Any:
        """Do what ends an attempt, waiting for Redis as long as it takes.

        A worker that is being stopped waits a moment only: the job then has no lease, and the
        next worker takes it up, finds the run finished or goes on with it.
        """
        pause, began = 0.2, time.monotonic()
        while True:
            try:
                self._own()
                if self.lost:
                    return None
                self._flush()
                self._note_time(at_once=True)
                return write()
            except Fenced:
                self.lost = True
                return None
            except NotFound:
                self._put_back()
            except RedisError as error:
                logger.warning("%s: Redis is away (%s); its end waits", self.job, error)
            if stopping() and time.monotonic() - began > DRAIN_SECONDS:
                logger.warning("%s: Redis is away; its end is not recorded", self.job)
                return None
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _own(self) -> None:
        if self._lease.renew():
            counts.add("synthorax_leases_total", result="renewed")
            return
        if not self._lease.take():  # another worker has it
            self.lost = True
            counts.add("synthorax_leases_total", result="lost")
            return
        counts.add("synthorax_leases_total", result="taken_again")
        # It ran out, or Redis forgot it: nobody else took the job, but a sweep may have queued it.
        logger.warning("%s: the lease had run out and is taken again", self.job)
        self._store.transition(self.job, ("queued",), "running", fence=self._lease.token)

    def _flush(self) -> None:
        while self._unsent:
            part = [self._unsent[i] for i in range(min(EVENTS_A_CALL, len(self._unsent)))]
            self._store.record_events(self.job, self._lease.token, part, self._sent)
            self._sent += len(part)
            for _ in part:
                self._unsent.popleft()

    def _note_time(self, at_once: bool = False) -> None:
        passed = time.monotonic() - self._noted_at
        if at_once or passed >= RAN_SECONDS:
            self._noted_at = time.monotonic()
            self.ran_seconds = self._store.ran(self.job, passed)

    def _read(self) -> None:
        self.record = self._store.get(self.job)
        status = self.record["status"]
        self.cancelled = status == "cancelling"
        self.finishing = self.record["finish"]
        self.lost = status in TERMINAL  # ended by another while our lease had run out

    def _put_back(self) -> None:
        """Redis lost its records under a running job (deleted are ended jobs alone)."""
        try:
            restored = {**self.record, "status": "running"}
            told = event("status", self.job, status="running", reason="Redis had lost the record")
            if self._store.restore(restored, [told]):
                logger.warning("%s: Redis had lost the record; it is put back", self.job)
        except RedisError as error:
            logger.warning("%s: Redis is away (%s)", self.job, error)
