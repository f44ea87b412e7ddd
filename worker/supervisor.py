"""One job from lease to end: the trainer's events become the record, its exit the status."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from library.config import resolve
from library.errors import NotFound, SynthoraxError
from library.requests import RunRequest
from library.runs import run_folder
from library.settings import Settings
from worker.child import TrainerProcess
from worker.jobs import LEASE_MS, TERMINAL, JobStore, now

logger = logging.getLogger("synthorax.worker")

DEATHS_MAX = 5  # a job whose trainer dies as often under one worker is not tried again
ATTEMPTS_MAX = 50  # nor one that takes its worker down each time; a drain is an attempt too
GRACE_SECONDS = 45.0  # for that checkpoint; Celery's soft shutdown waits longer
DRAIN_SECONDS = 5.0  # how long a worker that is being stopped waits for Redis
TICK_SECONDS = 0.5


class TrainerDied(SynthoraxError):
    slug, title, status = "trainer-died", "The trainer ended without a result", 500


class Requeue(Exception):
    """The job is to go on elsewhere: this worker is being stopped."""


def supervise(job: str, store: JobStore, settings: Settings, drain: threading.Event) -> None:
    """Run a job to its end, or until `drain` is set.

    Does nothing for a job that has ended or that another worker holds.  Raises Requeue after a
    drain; redis errors at the start.
    """
    token = secrets.token_hex(8)
    if not store.take_lease(job, token):
        logger.info("%s is held by another worker", job)
        return
    try:
        _Supervision(job, token, store, settings, drain).run()
    finally:
        try:
            store.release_lease(job, token)
        except RedisError:
            logger.warning("%s: the lease could not be released and will run out", job)


class _Supervision:
    def __init__(
        self, job: str, token: str, store: JobStore, settings: Settings, drain: threading.Event
    ) -> None:
        self.job, self.token, self.store = job, token, store
        self.settings, self.drain = settings, drain
        self.run_folder = run_folder(settings.data_dir, job)
        self.unsent: deque[dict[str, Any]] = deque()  # events while Redis is away
        self.reported: dict[str, Any] = {}  # the trainer's last word about its end
        self.cancelled = False
        self.deaths = 0
        self.owned_until = time.monotonic() + LEASE_MS / 1000

    def run(self) -> None:
        try:
            record = self.store.get(self.job)
        except NotFound:
            logger.warning("%s has no record: its message is dropped", self.job)
            return
        if record["status"] in TERMINAL:
            return
        if record["status"] == "cancelling":
            self.store.transition(self.job, ("cancelling",), "cancelled")
            return
        self._write_request(record["request"])
        while True:
            attempt = record["attempt"] + 1
            started = {} if record.get("started_at") else {"started_at": now()}
            moved, _ = self.store.transition(
                self.job, ("queued", "running"), "running", attempt=attempt, **started
            )
            if not moved:  # cancelled in between
                self.store.transition(self.job, ("cancelling",), "cancelled")
                return
            code, words = self._attempt()
            if self._finished(code, words, attempt):
                return
            record = self.store.get(self.job)

    def _write_request(self, request: dict[str, Any]) -> None:
        if self.run_folder.request.is_file():
            return  # an earlier attempt: it goes on with what it began with
        RunRequest(
            run=self.run_folder,
            dataset=Path(request["dataset"]["path"]),
            dataset_id=request["dataset"]["id"],
            model=request["model"],
            preset=request["preset"],
            config=resolve(request["preset"], request["config"]),
            data_dir=self.settings.data_dir,
            job=self.job,
            metadata=request["metadata"],
        ).write()

    def _attempt(self) -> tuple[int, str]:
        """Run the trainer once.  Returns its exit status and the end of its stderr."""
        child = TrainerProcess(
            self.run_folder.request,
            self.run_folder.path / "trainer.log",
            {"SYNTHORAX_TRAIN_DEVICE": self.settings.train_device},
        )
        logger.info("%s: trainer %d", self.job, child.pid)
        self.reported = {}
        code = None
        try:
            while code is None:
                for event in child.events(TICK_SECONDS):
                    self._take(event)
                self._send()
                if self._lost_ownership():
                    child.kill()
                elif self.cancelled or self.drain.is_set():
                    child.stop(GRACE_SECONDS)
                code = child.ended()
        finally:
            child.kill()  # this process is ending by an exception: no orphan
        return code, child.last_words()

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "status" and event["status"] != "running":
            self.reported = event  # the record's own transition tells it
        else:
            self.unsent.append(event)

    def _send(self) -> None:
        """Send what waits, renew the lease, look for a wish to cancel; Redis may be away."""
        try:
            if self.store.renew_lease(self.job, self.token):
                self.owned_until = time.monotonic() + LEASE_MS / 1000
            elif self.store.take_lease(self.job, self.token):  # Redis lost it, or it ran out
                self.owned_until = time.monotonic() + LEASE_MS / 1000
            else:
                self.owned_until = 0.0
            while self.unsent:
                self.store.record_event(self.job, self.unsent[0])
                self.unsent.popleft()
            self.cancelled = self.store.get(self.job)["status"] == "cancelling"
        except NotFound:
            self.cancelled = True  # the record was deleted
        except RedisError as error:
            logger.warning("%s: Redis is away (%s); training goes on", self.job, error)

    def _lost_ownership(self) -> bool:
        """Another worker holds the lease: this one must write nothing more."""
        return self.owned_until == 0.0

    def _finished(self, code: int, words: str, attempt: int) -> bool:
        """Act on the trainer's end.  False: try again."""
        self.deaths += 1
        if self._lost_ownership():
            return True
        active = ("running", "cancelling")
        if code == 0:
            model = self.reported.get("model")
            self._insist(active, "succeeded", model=model)
        elif self.cancelled:
            self._insist(active, "cancelled")
        elif self.drain.is_set() and self.reported.get("status") != "failed":
            # Status 75 (a checkpoint is written), or ended by our signal before it could say so.
            self._insist(("running",), "queued")
            raise Requeue
        elif self.reported.get("status") == "failed":
            self._insist(active, "failed", error=self.reported["error"])
        elif self.deaths >= DEATHS_MAX or attempt >= ATTEMPTS_MAX:
            problem = TrainerDied(
                f"The trainer ended {self.deaths} times without a result, last with "
                f"{_reason(code)}. {words[-500:]}".strip(),
                remedy="The run folder's trainer.log holds its words; the checkpoint is kept.",
            ).as_problem()
            self._insist(active, "failed", error=problem)
        else:
            message = f"The trainer ended with {_reason(code)}; it goes on from its checkpoint."
            event = {"type": "log", "time": now(), "level": "warning", "message": message}
            self.unsent.append(event)
            return False
        return True

    def _insist(self, allowed: tuple[str, ...], status: str, **fields: Any) -> None:
        """Write the end into the record, waiting for Redis as long as it takes.

        A worker that is being stopped waits a moment only: the job then has no lease, and the
        next worker takes it up, finds the run finished or goes on with it.
        """
        pause, began = 0.5, time.monotonic()
        while True:
            try:
                while self.unsent:
                    self.store.record_event(self.job, self.unsent[0])
                    self.unsent.popleft()
                self.store.transition(self.job, allowed, status, **fields)
                return
            except NotFound:
                return
            except RedisError:
                if self.drain.is_set() and time.monotonic() - began > DRAIN_SECONDS:
                    logger.warning("%s: Redis is away; its end is not recorded", self.job)
                    return
                time.sleep(pause)
                pause = min(2 * pause, 10.0)


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
