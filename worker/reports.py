"""Reports: `python -m evaluation` as a child of the light worker; its end is the version's gate.

A report holds a lease, is taken up again when its worker dies, and fails when it has ended its
worker, or its own process, too often.  Its record is a small file beside it (library.reports).
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
from celery import Celery, Task
from redis.exceptions import RedisError

from library.errors import NotFound, SynthoraxError
from library.logs import request_id
from library.reports import (
    ENDED,
    change_report,
    find_record,
    list_reports,
    log_of,
    remove_report,
)
from library.settings import Settings
from library.store.folders import Damaged
from library.store.objects import Missing, StoreAway
from library.store.shared import open_store
from worker import counts, keys
from worker.child import ChildProcess
from worker.connection import client
from worker.gate import pass_gate
from worker.jobs import JobStore
from worker.leases import Lease, Lost, renewed
from worker.left_behind import LeftBehind
from worker.queue import REPORT
from worker.records import event

logger = logging.getLogger("synthorax.worker")

TELL_SECONDS = 1.0  # between two notes of how far a report is
TICK_SECONDS = 0.5
SHARE_SECONDS = 5.0  # between two tries to reach a store that is away
GRACE_SECONDS = 20.0  # to end in; Celery's soft shutdown waits longer
SILENCE_SECONDS = 3600.0  # without an event, after which an evaluation counts as hung

Command = Callable[[Mapping[str, Any], Settings], list[str]]


class PoisonReport(SynthoraxError):
    slug, title, status = "poison", "The evaluation ends whoever runs it", 500


def register(app: Celery, settings: Settings, drain: threading.Event) -> None:
    """Add the reports' task to a worker's application."""

    @app.task(name=REPORT, bind=True)
    def run(self: Task[Any, Any], report: str) -> None:  # noqa: ARG001
        make_report(report, client(settings.redis_url), settings, drain)


def evaluation(record: Mapping[str, Any], settings: Settings) -> list[str]:
    """The command that makes a report."""
    asked = record["request"]
    command = [sys.executable, "-m", "evaluation", "version", str(record["model"])]
    command += ["--data-dir", str(settings.data_dir), "--report", str(record["id"])]
    if asked.get("dataset") is not None:
        command += ["--dataset", str(asked["dataset"])]
    for name in ("count", "seed"):
        if asked.get(name) is not None:
            command += [f"--{name}", str(asked[name])]
    return [*command, "--lifeline"]


def make_report(
    report: str,
    connection: redis.Redis,
    settings: Settings,
    drain: threading.Event,
    command: Command = evaluation,
) -> None:
    """Make a report whose record says so; nothing, when another worker is at it.

    When `drain` is set meanwhile, or the evaluation dies, the record is pending again and the
    sweep sends it.  Raises redis.exceptions.RedisError at the start.
    """
    if drain.is_set():  # the next worker's sweep finds it
        return
    token = secrets.token_hex(8)
    lease = Lease(connection, keys.report_lease(report), token, settings.lease_seconds)
    if not lease.take():
        return
    typed: Any = connection  # redis-py's answers are unions
    began = keys.report_attempts(report)
    store = open_store(settings)
    try:
        if store is not None:
            store.refresh()
        record = find_record(settings.data_dir, report)
        if record["status"] in ENDED:
            return
        request_id.set(record.get("request_id") or request_id.get())  # a sweep's message has none
        with renewed(lease, settings.lease_seconds) as check:
            making = _Making(record, JobStore(connection), settings, drain, check)
            if not making.bring():
                return
            attempts = typed.incr(began)
            typed.expire(began, keys.REPORT_ATTEMPTS_SECONDS)
            making.run(command(record, settings), attempts)
        if not making.died:
            typed.delete(began)
    except NotFound:
        logger.warning("%s has no record: its message is dropped", report)
    except StoreAway as error:  # the sweep sends it again
        logger.warning("%s: %s", report, error)
    except Lost:
        logger.warning("%s is another worker's now, or deleted", report)
    finally:
        try:
            lease.release()
        except RedisError:
            logger.warning("%s: the lease could not be released and will run out", report)


class _Making:
    """One attempt at a report."""

    def __init__(
        self,
        record: dict[str, Any],
        store: JobStore,
        settings: Settings,
        drain: threading.Event,
        check: Callable[[], None],
    ) -> None:
        self.record, self.store, self.settings = record, store, settings
        self.drain, self.check = drain, check
        self.digest, self.identity = str(record["digest"]), str(record["id"])
        self.parent = os.getppid()
        self.heard = time.monotonic()
        self.noted, self.shared = -TELL_SECONDS, -SHARE_SECONDS
        self.last: dict[str, Any] = {}  # the child's last word about its end
        self.died = False  # without a word about it
        self.sharing = open_store(settings)

    def bring(self) -> bool:
        """Have its dataset here; False when that ends it.  Raises StoreAway."""
        dataset = self.record["request"].get("dataset")
        if self.sharing is not None and dataset is not None:
            try:
                self.sharing.datasets.bring(str(dataset))
            except Damaged as error:  # and would be so the next time
                self._fail(error.as_problem())
                return False
        return True

    def run(self, command: list[str], attempts: int) -> None:
        if attempts > self.settings.attempts_max:
            self._fail(_poison(attempts - 1, "its worker").as_problem())
            return
        self._change({"status": "running"})
        try:
            code, words = self._follow(command)
        except NotFound:
            self._clear()
            raise Lost from None
        if code == 0 and self.last.get("type") == "report":
            self._complete(self.last["lights"])
        elif self.last.get("type") == "failed":
            self._fail(self.last["error"])
        elif self._stopping():
            self._change({"status": "pending", "progress": None})
        elif attempts < self.settings.attempts_max:
            self.died = True
            logger.warning("%s: its evaluation ended with %d: %s", self.identity, code, words)
            self._change({"status": "pending", "progress": None})
        else:
            self._fail(_poison(attempts, "its process", words).as_problem())

    def _follow(self, command: list[str]) -> tuple[int, str]:
        """Run the evaluation.  Returns its exit status and the end of its stderr."""
        log = log_of(self.settings.data_dir, self.digest, self.identity)
        child, code = ChildProcess(command, log, {}), None
        logger.info("%s: evaluation %d", self.identity, child.pid)
        try:
            while code is None:
                for told in child.events(TICK_SECONDS):
                    self._take(told)
                self._watch(child)
                code = child.ended()
        finally:
            child.close()  # also when this process is ending by an exception: no orphan
        return code, child.last_words()[-500:]

    def _take(self, told: dict[str, Any]) -> None:
        self.heard = time.monotonic()
        if told["type"] in ("report", "failed"):
            self.last = told
        elif told["type"] == "progress" and self.heard - self.noted >= TELL_SECONDS:
            self.noted = self.heard
            self._change({"progress": {name: told[name] for name in ("phase", "fraction")}})
            self._show_others()

    def _show_others(self) -> None:
        """How far it is, now and then; a store that is away keeps nobody from going on."""
        if self.sharing is None or self.heard - self.shared < SHARE_SECONDS:
            return
        self.shared, reports = self.heard, self.sharing.reports
        try:
            self.sharing.ask(lambda: reports.push(f"{self.digest}/{self.identity}", folder=False))
        except StoreAway as error:
            logger.info("%s: %s", self.identity, error)
        except Missing:
            self._clear()
            raise Lost from None

    def _watch(self, child: ChildProcess) -> None:
        self.check()
        find_record(self.settings.data_dir, self.identity)  # NotFound: it was deleted
        if time.monotonic() - self.heard > SILENCE_SECONDS:
            child.kill()
        elif self._stopping():
            child.stop(GRACE_SECONDS)

    def _stopping(self) -> bool:
        """This worker is being stopped, or its main process is gone."""
        return self.drain.is_set() or os.getppid() != self.parent

    def _complete(self, lights: dict[str, str]) -> None:
        self.check()
        # The gate first: a report that has ended is not looked at again.
        pass_gate(self.settings, self.record, lights)
        self._end({"status": "complete", "progress": None, "lights": lights, "error": None})
        counts.add("synthorax_tasks_total", task="report", outcome="complete")
        said = {"model": self.record["model"], "report": self.identity, "lights": lights}
        self._tell("evaluation", **said)

    def _fail(self, problem: dict[str, Any]) -> None:
        self.check()
        pass_gate(self.settings, self.record, None)
        self._end({"status": "failed", "progress": None, "error": problem})
        counts.add("synthorax_tasks_total", task="report", outcome="failed")
        message = f"The report {self.identity} on {self.record['model']} failed."
        self._tell("log", level="warning", message=message)

    def _end(self, fields: Mapping[str, Any]) -> None:
        """Let it be what the record says, here and in the store, waiting for that."""
        if self.sharing is not None and self.record["gate"]:
            self._insist(self.sharing.versions.tell, *str(self.record["model"]).rsplit("@", 1))
        self._change(fields)
        if self.sharing is not None:
            self._insist(self.sharing.reports.push, f"{self.digest}/{self.identity}")

    def _insist(self, action: Callable[..., object], *given: str) -> None:
        while True:
            self.check()
            try:
                action(*given)
                return
            except StoreAway as error:
                logger.warning("%s waits: %s", self.identity, error)
            except Missing:
                self._clear()
                raise Lost from None
            time.sleep(SHARE_SECONDS)

    def _change(self, fields: Mapping[str, Any]) -> None:
        if not change_report(self.settings.data_dir, self.digest, self.identity, fields):
            self._clear()
            raise Lost

    def _clear(self) -> None:
        """The report was deleted: so is what the child has made since."""
        remove_report(self.settings.data_dir, self.digest, self.identity)

    def _tell(self, kind: str, **fields: Any) -> None:
        """Tell the job that the version came of, if its stream is still there."""
        if self.record["job"] is None:
            return
        try:
            self.store.tell_later(event(kind, self.record["job"], **fields))
        except RedisError as error:
            logger.warning("%s: Redis is away (%s); its job is not told", self.identity, error)


def _poison(attempts: int, whom: str, words: str = "") -> PoisonReport:
    return PoisonReport(
        f"The evaluation ended {whom} {attempts} times in a row. {words}".strip(),
        remedy="The report's log, beside its folder, holds its words: mend the cause, then make "
        "another report.",
    )


class ReportSweeper:
    """Sends again the reports that have not ended and have neither a worker nor a message."""

    def __init__(
        self, connection: redis.Redis, settings: Settings, send: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._left = LeftBehind(connection, keys.report_lease, send)

    def sweep(self) -> None:
        waiting = [
            str(record["id"])
            for record in list_reports(self._settings.data_dir, bundled=None)
            if record["status"] not in ENDED
        ]
        self._left.look(waiting)
