"""Accepting, showing, ending and deleting studies."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery

from app.asked import Asked
from app.models.catalog import Catalog
from app.studies.checking import Checked, check
from app.studies.schemas import StudyRequest
from app.studies.shown import shown
from library.errors import Conflict
from library.logs import request_id
from library.settings import Settings
from library.studies import folder as studies
from library.studies.counts import classifier_runs, units_by_kind
from library.studies.folder import ENDED, Study
from library.trace_context import traceparent
from worker.costs import cost_of_study
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue_study
from worker.studies import send_again


class StudyService:
    """Methods raise NotFound for what does not exist, Unavailable while Redis is away."""

    def __init__(
        self, settings: Settings, library: Catalog, store: JobStore, celery: Celery
    ) -> None:
        self._settings, self._library = settings, library
        self._store, self._celery = store, celery
        self._data_dir = settings.data_dir

    def estimate(self, request: StudyRequest) -> dict[str, Any]:
        """What a study would take, or that it is being measured.  Raises InvalidValue, Conflict."""
        checked = self._checked(request)
        with reaching_redis():
            found = cost_of_study(self._store.redis, self._celery, checked.record)
        units = units_by_kind(checked.config)
        return {
            **{name: found[name] for name in ("status", "reason", "seconds") if name in found},
            "total_seconds": found.get("total_seconds"),
            "units": units,
            "generators": units.get("generator", 0),
            "classifiers": found.get("classifier_runs", classifier_runs(checked.config)),
            "patients_known": checked.patients_known,
        }

    def create(self, request: StudyRequest, key: str | None, who: str) -> dict[str, Any]:
        """Check, record and queue a study; with an Idempotency-Key (of `who`) once."""
        asked = Asked.of(request, studies.new_identity(), key, who)
        if (made := asked.before(self.find)) is not None:
            return self.shown(made)
        checked = self._checked(request)
        with reaching_redis():
            self._store.ping()  # nothing is recorded that nobody would do
            cost = cost_of_study(self._store.redis, self._celery, checked.record)
        record = {
            **checked.record,
            "request": request_id.get(),  # lines in logs, and spans, that come of it name it
            "traceparent": traceparent.get(),
            "asked": asked.digest,
            "cost": cost if cost["status"] == "measured" else None,
        }
        study = asked.same(studies.create(self._data_dir, asked.identity, record))
        with reaching_redis():
            self._send(study)
        return self.shown(study)

    def page(self, status: str | None, after: str | None, limit: int) -> dict[str, Any]:
        """Studies, newest first; `after` is the last id of the page before."""
        found = studies.studies(self._data_dir)
        if after is not None:
            self.find(after)
            found = found[[study.id for study in found].index(after) + 1 :]
        if status is not None:
            found = [study for study in found if study.status == status]
        data = [shown(study, self._store.redis, with_units=False) for study in found[:limit]]
        return {"data": data, "has_more": len(found) > limit}

    def find(self, identity: str) -> Study:
        return studies.find(self._data_dir, identity)

    def shown(self, study: Study) -> dict[str, Any]:
        return shown(study, self._store.redis)

    def cancel(self, identity: str) -> dict[str, Any]:
        """End a study; what is done stays.  Raises Conflict when it has ended."""
        study = self.find(identity)
        if study.status in ENDED:
            raise Conflict(f"The study {identity!r} is {study.status}.", field="id", value=identity)
        study.finish("cancelled")
        return self.shown(study)

    def resume(self, identity: str) -> dict[str, Any]:
        """Do what is missing of a cancelled or failed study.  Raises Conflict otherwise."""
        study = self.find(identity)
        if study.status not in ("cancelled", "failed"):
            raise Conflict(
                f"The study {identity!r} is {study.status}.",
                field="id",
                value=identity,
                remedy="Only a cancelled or failed study can be resumed.",
            )
        with reaching_redis():
            self._store.ping()
            study.unfinish()
            self._send(study)
        return self.shown(study)

    def delete(self, identity: str) -> None:
        studies.remove(self._data_dir, identity)

    def send(self, study: Study) -> None:
        """Let workers do what is missing.  Raises Unavailable."""
        with reaching_redis():
            self._send(study)

    def _checked(self, request: StudyRequest) -> Checked:
        return check(request, self._settings, self._library, self._store, self._celery)

    def _send(self, study: Study) -> None:
        send_again(study, self._store.redis, partial(enqueue_study, self._celery))
