"""What a user may wish of a job that exists: cancel, finish, resume, delete."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from app.train_jobs.schemas import ResumeRequest
from app.train_jobs.service import TrainJobService
from library.config import resolve
from library.errors import Conflict, InvalidValue
from library.locks import hold
from library.runs import RunFolder, run_folder
from worker.jobs import reaching_redis
from worker.records import TERMINAL, keep_copy

DELETE_SECONDS = 60.0  # the longest that a deletion may hold a job

_DROPPED = ("error", "finished_at", "finish", "interrupted")


class Wishes:
    """Methods return the job as it is shown then.

    They raise NotFound, Conflict for a job in a state that does not allow it, and Unavailable
    without Redis.
    """

    def __init__(self, service: TrainJobService) -> None:
        self._service, self._jobs = service, service.jobs
        self._data_dir = service.settings.data_dir

    def cancel(self, job: str) -> dict[str, Any]:
        """End a job: a queued one at once, a running one when its checkpoint is written."""
        with reaching_redis():
            moved, found = self._jobs.transition(job, ("queued",), "cancelled")
            if not moved:
                moved, found = self._jobs.transition(job, ("running",), "cancelling")
            if not moved and found == "queued":  # given back by its worker in between
                moved, found = self._jobs.transition(job, ("queued",), "cancelled")
            if not moved and found != "cancelling":
                raise _conflict(job, found, "Only queued and running jobs can be cancelled.")
            return self._told(job)

    def finish(self, job: str) -> dict[str, Any]:
        """End a job after its epoch, and publish what there is then."""
        with reaching_redis():
            record = self._jobs.get(job)
            begun = record["status"] == "running" or (
                record["status"] == "queued" and record["attempt"] > 0
            )
            moved, found = begun, record["status"]
            if begun:
                moved, found = self._jobs.transition(job, (found,), found, finish=True)
            if not moved:
                remedy = "Only a job that has begun can finish early"
                more = "; cancel this one." if found == "queued" else "."
                raise _conflict(job, found, remedy + more)
            return self._told(job)

    def resume(self, job: str, changes: ResumeRequest) -> dict[str, Any]:
        """Go on with an ended job from its newest checkpoint.  Raises InvalidValue."""
        with reaching_redis():
            record = self._jobs.get(job)
            if record["status"] not in TERMINAL:
                raise _conflict(job, record["status"], "Only ended jobs can be resumed.")
            request = _resumed(record, changes, self._service.run(job))
            self._service.check_dataset(record)
            # An early end was decided for the run as it was then.
            run_folder(self._data_dir, job).finish.unlink(missing_ok=True)
            moved, found = self._jobs.transition(
                job,
                (record["status"],),
                "queued",
                drop=_DROPPED,
                told={"reason": "resumed"},
                request=request,
                webhook=_untold(record["webhook"]),
                deaths=0,
                ran_seconds=0.0,
            )
            if not moved:
                raise _conflict(job, found, "Only ended jobs can be resumed.")
            record = self._jobs.get(job)
            keep_copy(self._data_dir, record)
            self._service.send(record)
            return self._service.show(record)

    def delete(self, job: str) -> None:
        """Forget an ended job and remove its run folder; a published version stays."""
        with reaching_redis():
            record = self._jobs.get(job)
            if record["status"] not in TERMINAL:
                raise _conflict(job, record["status"], "Cancel it first.")
            # With the lease no worker can begin it, should it be resumed at this moment.
            lease = self._jobs.lease(job, f"delete:{secrets.token_hex(8)}", DELETE_SECONDS)
            if not lease.take():
                raise _conflict(job, "in a worker's hands", "Try again in a moment.")
            try:
                aside = self._set_aside(job)
                try:
                    if self._service.store is not None:
                        self._service.store.remove_run(job)
                    self._jobs.delete(job)
                except BaseException:
                    if aside is not None:
                        os.rename(aside, run_folder(self._data_dir, job).path)
                    raise
            finally:
                lease.release()
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)  # what is left, the workers' sweep removes

    def _set_aside(self, job: str) -> Path | None:
        """Rename the run folder, so that it goes whole or not at all."""
        folder = run_folder(self._data_dir, job).path
        if not folder.is_dir():
            return None
        handle = hold(folder / "lock")
        if handle is None:
            raise _conflict(job, "still being written by a trainer", "Try again in a moment.")
        try:
            aside = folder.with_name(f".deleted-{job}-{secrets.token_hex(4)}")
            os.rename(folder, aside)
            return aside
        finally:
            os.close(handle)

    def _told(self, job: str) -> dict[str, Any]:
        record = self._jobs.get(job)
        keep_copy(self._data_dir, record)
        return self._service.show(record)


def _conflict(job: str, found: str, remedy: str) -> Conflict:
    already = "already " if found in TERMINAL else ""
    return Conflict(
        f"The train job {job!r} is {already}{found}.", field="id", value=job, remedy=remedy
    )


def _untold(webhook: dict[str, Any] | None) -> dict[str, Any] | None:
    """The end to come is told of as the first one was."""
    return webhook and {"url": webhook["url"], "status": "pending", "attempts": 0}


def _resumed(record: dict[str, Any], changes: ResumeRequest, run: RunFolder) -> dict[str, Any]:
    """The job's request with changes.  Raises InvalidValue, Conflict."""
    request: dict[str, Any] = record["request"]
    given = changes.model_dump(exclude_unset=True)
    limit = given.pop("max_seconds", request["max_seconds"])
    config = {**request["config"], **{n: v for n, v in given.items() if v is not None}}
    config = resolve(request["preset"], config).as_dict()
    there = run.list_checkpoints()
    at = (there[0]["epoch"] or 0.0) if there else 0.0
    done = math.ceil(at)
    if config["epochs"] < done:
        raise InvalidValue(
            f"epochs is {config['epochs']}, and the newest checkpoint is at epoch {at:g}.",
            field="epochs",
            value=config["epochs"],
            remedy=f"Give {done} or more.",
        )
    if record["status"] == "succeeded" and config["epochs"] == done:
        raise Conflict(
            f"The train job {record['id']!r} has all its {done} epochs.",
            field="epochs",
            value=config["epochs"],
            remedy="Give more epochs to go on.",
        )
    # What was decided for the run until then does not bind the worker that goes on with it.
    after = {"resumed_after": record["attempt"]}
    return {**request, "config": config, "max_seconds": limit, **after}
