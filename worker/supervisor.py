"""One job from lease to end: the trainer's events become the record, its exit the status."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from library import disk
from library.errors import NotFound, Unusable
from library.logs import request_id
from library.runs import FolderBusy, run_folder
from library.settings import Settings
from library.store.runs import Superseded
from library.store.shared import open_store
from library.trace_context import traceparent
from worker.attempt_spans import AttemptSpans
from worker.child import FOLDER_BUSY, RESUMABLE, TrainerProcess
from worker.endings import reason
from worker.estimates import remember_rate
from worker.gate import begin_first_report
from worker.jobs import Fenced, JobStore
from worker.limits import Limits
from worker.link import Link
from worker.records import TERMINAL, now
from worker.run_request import run_request
from worker.sharing import Sharing, Stopped
from worker.sweeper import Send, end_attempt
from worker.training_counts import count

logger = logging.getLogger("synthorax.worker")

GRACE_SECONDS = 45.0  # for a last checkpoint; Celery's soft shutdown waits longer
TICK_SECONDS = 0.5
PAUSE_SECONDS_MAX = 30.0  # between two attempts that get no step further

SendReport = Callable[[str], None]  # the id of a report that is pending


class Requeue(Exception):
    """The job is to go on elsewhere: this worker is being stopped."""


def supervise(
    job: str,
    store: JobStore,
    settings: Settings,
    worker: str,
    drain: threading.Event,
    send: Send,
    send_report: SendReport,
) -> None:
    """Run a job to its end, or until `drain` is set.

    `send(record)` queues it again where Celery cannot; `send_report(id)` queues a version's report.
    Nothing for a job that has ended or that another holds.  Raises Requeue after a drain; redis
    errors at the start.
    """
    link = Link(store, settings, job, f"{worker}:{secrets.token_hex(8)}")
    try:
        if not link.take():
            logger.info("%s is held by another worker", job)
            return
        # A message that a sweep or a repair sent has no request of its own.
        request_id.set(link.record.get("request_id") or request_id.get())
        supervision = _Supervision(link, store, settings, worker, drain, send, send_report)
        try:
            supervision.run()
        finally:
            supervision.close()
    except NotFound:
        logger.warning("%s has no record: its message is dropped", job)
    except Fenced:
        logger.warning("%s is another worker's now", job)
    finally:
        link.release()


class _Supervision:
    def __init__(
        self,
        link: Link,
        store: JobStore,
        settings: Settings,
        worker: str,
        drain: threading.Event,
        send: Send,
        send_report: SendReport,
    ) -> None:
        self.link, self.store, self.settings = link, store, settings
        self.worker, self.drain = worker, drain
        self.send, self.send_report = send, send_report
        self.parent = os.getppid()
        self.folder = run_folder(settings.data_dir, link.job)
        self.environment = {"SYNTHORAX_TRAIN_DEVICE": settings.train_device}
        self.reported: dict[str, Any] = {}  # the trainer's last word about its end
        self.speed: float | None = None  # images a second, its last word about that
        self.limits = Limits(settings, link.record["request"])
        shared = open_store(settings)
        self.sharing = None if shared is None else Sharing(shared, link, self._stopping)

    def close(self) -> None:
        if self.sharing is not None:
            self.sharing.close()

    def run(self) -> None:
        link = self.link
        if link.record["status"] in TERMINAL:
            link.refresh()
            return
        while True:
            if link.move(("cancelling",), "cancelled"):
                return
            try:
                run_request(link.record, self.settings).write()
            except OSError as error:
                problem = disk.as_problem(error, self.folder.path)
                if problem is None:
                    raise
                active = ("queued", "running", "cancelling")
                link.move(active, "failed", error=problem.as_problem())
                return
            started = {} if link.record.get("started_at") else {"started_at": now()}
            attempt = link.record["attempt"] + 1
            # A message that comes while the job runs elsewhere finds the lease held, so "running"
            # here is a job whose last worker is gone.
            if not link.move(
                ("queued", "running"), "running", attempt=attempt, worker=self.worker, **started
            ):
                link.move(("cancelling",), "cancelled")  # cancelled in between
                return
            code, words = self._shared_attempt(attempt)
            if code == 0 and not link.lost and self.reported.get("model"):
                self._begin_report(self.reported["model"])
            end = partial(self._end, code, words)
            if link.lost or link.insist(end, self._stopping):
                return
            if link.lost or self._stopping():
                return
            self._pause()

    def _shared_attempt(self, attempt: int) -> tuple[int, str]:
        """An attempt between what was brought from the store and what is left there."""
        sharing = self.sharing
        if sharing is None:
            return self._attempt()
        self.reported = {}
        try:
            number = sharing.bring(attempt)
            if number != attempt and not self.link.move(("running",), "running", attempt=number):
                raise Stopped
            code, words = self._attempt()
            sharing.keep_dataset()
            if code == 0 and not self.link.lost:
                self.reported["model"] = sharing.hand_over(self.link.record["request"]["model"])
            elif not self.link.lost:
                sharing.settle()
        except Stopped:
            self.reported = {}
            return RESUMABLE, ""
        except FolderBusy:
            return FOLDER_BUSY, ""
        except Superseded:
            self.link.lost = True
            return RESUMABLE, ""
        except Unusable as error:
            self.reported = {"status": "failed", "error": error.as_problem()}
            return 1, str(error)
        return code, words

    def _attempt(self) -> tuple[int, str]:
        """Run the trainer once.  Returns its exit status and the end of its stderr."""
        self.limits.begin()
        self.spans = AttemptSpans(self.link.record, self.worker)
        traceparent.set(self.spans.traceparent)
        child = TrainerProcess(
            self.folder.request,
            self.folder.path / "trainer.log",
            self.environment,
            self.settings.train_processes,
        )
        logger.info("%s: trainer %d", self.link.job, child.pid)
        self.reported, code = {}, None
        try:
            while code is None:
                for told in child.events(TICK_SECONDS):
                    self._take(told)
                self.link.sync()
                self._watch(child)
                code = child.ended()
        finally:
            child.close()  # also when this process is ending by an exception: no orphan
            self.spans.end(code, self.reported)
        self.limits.ended(code)
        return code, child.last_words()

    def _begin_report(self, model: str) -> None:
        """Told before the job's success; nothing about it keeps the job from that."""
        link = self.link
        try:
            report, told = begin_first_report(
                self.settings, link.job, link.record["request"], model
            )
        except OSError as error:
            link.log(f"No report is made: {error.strerror}.")
            return
        if told is not None:
            link.tell(told)
        if report is not None:
            if self.sharing is not None:
                self.sharing.keep_report(report)
            try:
                self.send_report(report)
            except RedisError:  # the sweep sends it
                logger.warning("%s: the message of %s could not be sent", link.job, report)

    def _take(self, told: dict[str, Any]) -> None:
        self.spans.take(told)
        if told["type"] == "status" and told["status"] != "running":
            self.reported = told  # the record's own transition tells it
            return
        if told["type"] == "checkpoint" and self.sharing is not None:
            self.sharing.push_soon()
        if told["type"] == "metric":
            self.speed = told["images_per_second"]
        count(self.link.job, told)
        self.link.tell(told)

    def _watch(self, child: TrainerProcess) -> None:
        """Pass on wishes and enforce limits."""
        link = self.link
        if self.sharing is not None:
            self.sharing.tick()
            link.lost = link.lost or self.sharing.superseded
        if link.lost:
            child.kill()
            return
        self.limits.watch(child, link.ran_seconds)
        if link.cancelled or self.limits.over_time or self._stopping():
            child.stop(GRACE_SECONDS)
        elif link.finishing:
            child.finish()

    def _stopping(self) -> bool:
        """This worker is being stopped, or its main process is gone."""
        return self.drain.is_set() or self._orphaned()

    def _orphaned(self) -> bool:
        return os.getppid() != self.parent

    def _end(self, code: int, words: str) -> bool:
        """Write the attempt's end into the record.  False: try again."""
        link, active = self.link, ("running", "cancelling")
        if self.speed is not None:
            remember_rate(self.store.redis, link.record["request"]["config"], self.speed)
        if code == 0 and self.reported.get("status") == "succeeded":
            link.move(active, "succeeded", model=self.reported.get("model"))
        elif link.cancelled and link.move(("cancelling",), "cancelled"):
            pass
        elif self.limits.over_memory:
            link.move(active, "failed", error=self._out_of_memory())
        elif self.reported.get("status") == "failed":
            link.move(active, "failed", error=self.reported["error"])
        elif self.limits.over_time:
            link.move(active, "failed", error=self.limits.time_problem(link.ran_seconds))
        elif self._stopping():
            # A checkpoint is written, or the trainer was ended before it could say so.
            why = {"reason": "the worker is stopped"}
            moved = link.move(("running",), "queued", told=why, interrupted=True)
            if moved and not self._orphaned():
                raise Requeue
            if moved:
                self.send(link.record)
        elif code == FOLDER_BUSY:
            link.log("An earlier trainer is still at work in the run folder; waiting for its end.")
            return False
        else:
            return self._died(code, words)
        return True

    def _died(self, code: int, words: str) -> bool:
        token = self.link.token
        why = reason(code)
        status = end_attempt(
            self.store, self.settings, self.store.get(self.link.job), why, token, words[-500:]
        )
        self.link.refresh()
        if status == "queued":
            logger.warning("%s: %s; it goes on from its checkpoint", self.link.job, why)
        return status not in ("queued", "cancelling")

    def _out_of_memory(self) -> dict[str, Any]:
        """The problem, once it is measured what would fit; the lease is kept meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            measure = partial(self.limits.memory_problem, self.folder.request, self.environment)
            problem = pool.submit(copy_context().run, measure)
            while not problem.done():
                self.link.sync()
                time.sleep(TICK_SECONDS)
        return problem.result()

    def _pause(self) -> None:
        """A trainer that dies at once again and again is given time."""
        try:
            deaths = self.store.get(self.link.job)["deaths"]
        except (RedisError, NotFound):
            deaths = 1
        until = time.monotonic() + (
            min(PAUSE_SECONDS_MAX, 2.0 ** (deaths - 1)) if deaths > 1 else 0
        )
        while time.monotonic() < until and not self._stopping():
            self.link.sync()
            time.sleep(0.1)
