"""Accepting and reading train jobs: everything that can be known to be wrong is said at once."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from celery import Celery
from redis.exceptions import RedisError

from app.train_jobs.checking import check
from app.train_jobs.idempotency import Idempotency
from app.train_jobs.schemas import CloneRequest, TrainJobRequest
from app.train_jobs.shown import shown
from library.atomic import read_json
from library.config import GROUPS
from library.datasets.opened import Opened
from library.datasets.records import change_record, dataset_id, read_record, register
from library.datasets.roots import within_roots
from library.datasets.sources import FolderSource
from library.errors import Conflict, InvalidValue, NotFound
from library.manifests import DatasetChanged, compare, read_manifest
from library.runs import RunFolder, run_folder
from library.settings import Settings
from library.store.objects import StoreAway
from library.store.shared import open_store
from worker.costs import cost_of
from worker.estimates import Wait, waits
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue
from worker.records import keep_copy

logger = logging.getLogger("synthorax.app")
_looked: dict[str, float] = {}  # by job: when its run was looked for in the store


class TrainJobService:
    """Methods raise NotFound for a job that does not exist, Unavailable without Redis."""

    def __init__(self, settings: Settings, jobs: JobStore, celery: Celery) -> None:
        self.settings = settings
        self.jobs = jobs
        self._celery = celery
        self.store = open_store(settings)

    # Making

    def create(
        self, request: TrainJobRequest, key: str | None = None, who: str = ""
    ) -> dict[str, Any]:
        """Check, record and queue a job; once for a key of `who`.  Raises InvalidValue."""
        return self._once(key, who, "/train-jobs", request, lambda: self._checked(request))

    def estimate(self, request: TrainJobRequest, seconds: float) -> dict[str, Any]:
        """What a run would take, or that it is being measured.  Raises InvalidValue."""
        checked = check(request.model_dump(), self.settings)
        labels = checked.dataset.labels
        config = checked.config.as_dict()
        with reaching_redis():
            return cost_of(
                self.jobs.redis,
                self._celery,
                config,
                checked.dataset.images,
                len(labels) if labels is not None else 2,
                seconds,
            )

    def clone(
        self, job: str, changes: CloneRequest, key: str | None = None, who: str = ""
    ) -> dict[str, Any]:
        """A new job like another one, with changes.  Raises InvalidValue."""
        with reaching_redis():
            origin = self.jobs.get(job)["request"]
        request = _changed(origin, changes)
        path = f"/train-jobs/{job}/clone"
        return self._once(key, who, path, changes, lambda: self._checked(request, job))

    def _checked(self, request: TrainJobRequest, cloned_from: str | None = None) -> dict[str, Any]:
        """The request as the record holds it, and its dataset registered."""
        checked = check(request.model_dump(), self.settings)
        with reaching_redis():
            self.jobs.ping()  # nothing is registered for a job that cannot be
        dataset = checked.dataset
        identity = dataset.identity
        if identity is None:
            assert dataset.path is not None
            if self.store is not None:
                self.store.know_dataset(dataset_id(dataset.path))
            identity = register(self.settings.data_dir, dataset.path)["id"]
        return {
            "dataset": {
                "path": None if dataset.path is None else str(dataset.path),
                "id": identity,
                "fingerprint": dataset.fingerprint,
            },
            "model": request.model,
            "preset": checked.preset,
            "config": checked.config.as_dict(),
            "metadata": request.metadata,
            "labels": request.labels,
            "priority": request.priority,
            "max_seconds": request.max_seconds,
            "report": request.report,
            "publish_if": request.publish_if,
            "images": dataset.images,
            "cloned_from": cloned_from,
        }

    def _once(
        self, key: str | None, who: str, path: str, body: Any, checked: Any
    ) -> dict[str, Any]:
        with reaching_redis():
            if key is None:
                return self._made(checked(), body.webhook, None)
            same = Idempotency(self.jobs.redis, key, who, path, body.model_dump(mode="json"))
            job = same.made()
            if job is None:
                return self._made(checked(), body.webhook, same)
            try:
                return self.show(self.jobs.get(job))
            except NotFound:
                raise same.deleted(job) from None

    def _made(
        self, request: dict[str, Any], webhook: str | None, same: Idempotency | None
    ) -> dict[str, Any]:
        reserved = same.reserve() if same else None
        record = self.jobs.create(
            request,
            reserved.job if reserved else None,
            webhook,
            reserved.pair if reserved else None,
        )
        # From here on the job exists: whatever fails now, the workers' sweep sends it to them.
        try:
            keep_copy(self.settings.data_dir, record)
        except OSError as error:
            logger.warning("%s: no copy in its run folder (%s)", record["id"], error.strerror)
        self.send(record)
        return self.show(record)

    def send(self, record: dict[str, Any]) -> None:
        """Queue a recorded job; where that fails the workers' sweep does it later."""
        try:
            enqueue(self._celery, record)
        except RedisError as error:
            logger.warning("%s: its message could not be sent (%s)", record["id"], error)

    # Reading

    def get(self, job: str) -> dict[str, Any]:
        with reaching_redis():
            return self.show(self.jobs.get(job))

    def page(
        self, status: str | None, label: str | None, after: str | None, limit: int
    ) -> dict[str, Any]:
        """Jobs, newest first, of one status and label or of all."""
        found: list[dict[str, Any]] = []
        with reaching_redis():
            # One more than asked tells whether there is a next page.
            while len(found) <= limit:
                part = self.jobs.page(after, max(limit + 1, 50))
                if not part:
                    break
                after = part[-1]["id"]
                found += [record for record in part if _matches(record, status, label)]
            listed, more = found[:limit], len(found) > limit
            queue = self._waits(listed)
            data = [shown(record, queue.get(record["id"])) for record in listed]
        return {"data": data, "has_more": more, "next": listed[-1]["id"] if more else None}

    def show(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record as the API shows it."""
        answer = shown(record, self._waits([record]).get(record["id"]))
        self._have(record["id"])
        try:
            began = read_json(run_folder(self.settings.data_dir, record["id"]).environment)
        except (OSError, ValueError):  # not begun
            began = None
        return {**answer, "environment": began}

    def _waits(self, records: list[dict[str, Any]]) -> dict[str, Wait]:
        """How queued jobs wait; asked only where one is shown."""
        queued = any(record["status"] == "queued" for record in records)
        return waits(self.jobs) if queued else {}

    def check_dataset(self, record: dict[str, Any]) -> None:
        """Raise Conflict when a job's dataset is not what its run began with."""
        dataset, data_dir = record["request"]["dataset"], self.settings.data_dir
        try:
            if dataset["path"] is not None:
                FolderSource(within_roots(dataset["path"], self.settings.roots), "dataset.path")
            if self.store is not None:
                self.store.datasets.bring(dataset["id"])
            known = read_record(data_dir, dataset["id"])
        except (InvalidValue, NotFound) as error:
            raise Conflict(
                f"The dataset of {record['id']!r} is gone. {error.detail}",
                field=error.field,
                value=error.value,
                remedy="Bring it back to where it was, or start a new run.",
            ) from None
        began_with = run_folder(data_dir, record["id"]).files
        if began_with.is_file():
            with Opened(data_dir, known, as_it_was=True) as opened:
                changes = compare(read_manifest(began_with), opened.current())
                if changes:
                    change_record(data_dir, dataset["id"], {"changed": changes.names()})
                    raise DatasetChanged(dataset["id"], opened.root or opened.content, changes)

    def run(self, job: str) -> RunFolder:
        """The run folder of a job that exists."""
        with reaching_redis():
            run = run_folder(self.settings.data_dir, self.jobs.get(job)["id"])
        self._have(job)
        return run

    def _have(self, job: str) -> None:
        """Bring what is shown of a run that is another machine's, at most every few seconds."""
        now = time.monotonic()
        if self.store is None or now - _looked.get(job, -math.inf) < self.settings.store_seconds:
            return
        _looked[job] = now
        try:
            shared = self.store
            shared.ask(lambda: shared.runs.show(job))
        except (StoreAway, OSError) as error:
            logger.warning("%s: shown as it is known here (%s)", job, error)


def _matches(record: dict[str, Any], status: str | None, label: str | None) -> bool:
    return status in (None, record["status"]) and (
        label is None or label in record["request"]["labels"]
    )


def _changed(origin: dict[str, Any], changes: CloneRequest) -> TrainJobRequest:
    given = changes.model_dump(exclude_unset=True)
    config = {**origin["config"], **given.pop("config", {})}
    for name in GROUPS:
        if isinstance(config.get(name), dict):
            config[name] = {**origin["config"].get(name, {}), **config[name]}
    # A webhook is not cloned: whoever clones says who is told.
    kept: tuple[str, ...] = (
        "model", "preset", "metadata", "labels", "priority", "max_seconds"
    )  # fmt: skip
    kept += tuple(name for name in ("report", "publish_if") if name in origin)
    values = {name: origin[name] for name in kept} | {
        name: value for name, value in given.items() if value is not None
    }
    dataset = origin["dataset"]
    by_id = dataset.get("fingerprint") is not None
    values.setdefault("dataset", dataset["id"] if by_id else {"path": dataset["path"]})
    return TrainJobRequest(**{**values, "config": config})
