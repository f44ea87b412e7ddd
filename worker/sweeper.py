"""What dead workers left behind is taken up: nothing is lost, whoever was killed and when."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from library.errors import SynthoraxError
from library.settings import Settings
from worker import counts, keys
from worker.jobs import FREE, Fenced, JobStore
from worker.queue import TRAINING, messages
from worker.records import ENDS_KEPT, keep_copy, now

logger = logging.getLogger("synthorax.worker")

Send = Callable[[Mapping[str, Any]], None]  # a queued job's record


class Poison(SynthoraxError):
    slug, title, status = "poison", "The job ends whoever runs it", 500


class Sweeper:
    """Looks for jobs without a worker and without a message.

    `sweep` may run in every worker at once; one at a time does.
    """

    def __init__(self, store: JobStore, settings: Settings, send: Send) -> None:
        self._store, self._settings, self._send = store, settings, send
        self._unsent: set[str] = set()  # queued jobs that had no message at the last look

    def sweep(self, pause: float) -> None:
        """One look, unless another worker looked within `pause` seconds."""
        if not self._store.redis.set(keys.SWEEP, now(), nx=True, px=max(100, int(900 * pause))):
            return
        for job in self._store.orphans():
            self._take_up(job)
        self._send_again()
        remove_deleted(self._settings.data_dir)

    def _take_up(self, job: str) -> None:
        """A job that is running by its record, but in nobody's hands."""
        try:
            moved, _ = self._store.transition(job, ("cancelling",), "cancelled", fence=FREE)
            if moved:
                counts.add("synthorax_attempt_ends_total", outcome="cancelled")
            else:
                record = self._store.get(job)
                reason = f"its worker {record.get('worker', '')} was lost"
                status = end_attempt(self._store, self._settings, record, reason, FREE)
                ids = {"job": job, "request": record.get("request_id")}
                logger.warning("%s was left behind and is %s", job, status, extra=ids)
                if status == "queued":
                    self._send(self._store.get(job))
            keep_copy(self._settings.data_dir, self._store.get(job))
        except Fenced:
            pass  # its worker is back
        except OSError as error:  # a full disk must not keep others from being taken up
            logger.warning("%s: no copy in its run folder (%s)", job, error.strerror)

    def _send_again(self) -> None:
        """Queued jobs without a message: a worker or the API died before it was sent.

        A job is without one for a moment while a worker takes it, so two looks must agree.
        """
        queued = self._store.queued()
        there = messages(self._store.redis, TRAINING) if queued else {}
        missing = {job for job in queued if job not in there}
        for record in self._store.several(sorted(missing & self._unsent)):
            if record["status"] == "queued":
                logger.warning("%s had no message and is sent again", record["id"])
                self._send(record)
        self._unsent = missing - self._unsent


def end_attempt(
    store: JobStore,
    settings: Settings,
    record: dict[str, object],
    reason: str,
    fence: str,
    words: str = "",
) -> str:
    """An attempt ended without a result: queued again, or failed when too many did in a row.

    A row is ended by a checkpoint further on than any before.  Returns the new status, or the one
    that was found when the job was not running.  Raises Fenced.
    """
    job, attempt = str(record["id"]), record["attempt"]
    deaths = int(str(record["deaths"])) + 1
    ends = [*_ends(record), {"attempt": attempt, "time": now(), "reason": reason}][-ENDS_KEPT:]
    if deaths < settings.attempts_max:
        moved, found = store.transition(
            job, ("running",), "queued", fence=fence, deaths=deaths, ends=ends, interrupted=True,
            told={"reason": reason},
        )  # fmt: skip
        if moved:
            counts.add("synthorax_attempt_ends_total", outcome="queued")
        return "queued" if moved else found
    reasons = "; ".join(f"attempt {end['attempt']}: {end['reason']}" for end in ends[-deaths:])
    problem = Poison(
        f"The job ended {deaths} times in a row without a result and without a step further "
        f"({reasons}). {words}".strip(),
        remedy="The run folder's trainer.log holds the trainer's words, and the newest checkpoint "
        "is kept: mend the cause, then POST /train-jobs/{id}/resume.",
    ).as_problem()
    moved, found = store.transition(
        job, ("running",), "failed", fence=fence, deaths=deaths, ends=ends, error=problem
    )
    if moved:
        counts.add("synthorax_attempt_ends_total", outcome="failed")
    return "failed" if moved else found


def _ends(record: dict[str, object]) -> list[dict[str, object]]:
    ends = record["ends"]
    return list(ends) if isinstance(ends, list) else []


def remove_deleted(data_dir: Path) -> None:
    """Remove what is left of run folders whose deletion was interrupted."""
    for folder in (data_dir / "runs").glob(".deleted-*"):
        shutil.rmtree(folder, ignore_errors=True)
