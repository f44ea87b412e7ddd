"""Accepting a train job: everything that can be known to be wrong is said at once."""

from __future__ import annotations

from typing import Any

from celery import Celery

from app.train_jobs.schemas import TrainJobRequest
from library.config import RunConfig, resolve
from library.datasets import Folder, register, scan, within_roots
from library.errors import InvalidValue
from library.requests import check_model_name
from library.runs import RunFolder, run_folder
from library.settings import Settings
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue


class TrainJobService:
    def __init__(self, settings: Settings, jobs: JobStore, celery: Celery) -> None:
        self._settings = settings
        self._jobs = jobs
        self._celery = celery

    def create(self, request: TrainJobRequest) -> dict[str, Any]:
        """Check, record and queue a job.  Raises InvalidValue, or Unavailable without Redis."""
        config = resolve(request.preset, request.config)
        name = check_model_name(request.model)
        path = within_roots(request.dataset.path, self._settings.roots)
        folder = scan(path)
        _check(folder, config)
        with reaching_redis():
            self._jobs.ping()  # nothing is registered for a job that cannot be
            dataset = register(self._settings.data_dir, folder)
            record = self._jobs.create(
                {
                    "dataset": {"path": str(path), "id": dataset["id"]},
                    "model": name,
                    "preset": request.preset,
                    "config": config.as_dict(),
                    "metadata": request.metadata,
                }
            )
            try:
                self._enqueue(record["id"])
            except BaseException:
                self._jobs.delete(record["id"])
                raise
        return self.show(record)

    def _enqueue(self, job: str) -> None:
        from kombu.exceptions import OperationalError
        from redis.exceptions import ConnectionError as RedisConnectionError

        try:
            enqueue(self._celery, job)
        except OperationalError as error:
            raise RedisConnectionError(str(error)) from error

    def get(self, job: str) -> dict[str, Any]:
        with reaching_redis():
            return self.show(self._jobs.get(job))

    def page(self, status: str | None, after: str | None, limit: int) -> dict[str, Any]:
        """Jobs, newest first, of one status or of all."""
        found: list[dict[str, Any]] = []
        with reaching_redis():
            # One more than asked tells whether there is a next page.
            while len(found) <= limit:
                part = self._jobs.page(after, max(limit + 1, 50))
                if not part:
                    break
                after = part[-1]["id"]
                found += [record for record in part if status in (None, record["status"])]
            shown, more = found[:limit], len(found) > limit
            data = [self.show(record) for record in shown]
        return {"data": data, "has_more": more, "next": shown[-1]["id"] if more else None}

    def cancel(self, job: str) -> dict[str, Any]:
        with reaching_redis():
            return self.show(self._jobs.cancel(job))

    def run(self, job: str) -> RunFolder:
        """The run folder of a job that exists."""
        with reaching_redis():
            return run_folder(self._settings.data_dir, self._jobs.get(job)["id"])

    def show(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record as the API shows it."""
        request = record["request"]
        queued = record["status"] == "queued"
        waiting = self._jobs.waiting() if queued else []
        job = record["id"]
        base = f"/train-jobs/{job}"
        return {
            "id": job,
            "status": record["status"],
            "created_at": record["created_at"],
            "started_at": record.get("started_at"),
            "finished_at": record.get("finished_at"),
            "attempt": record["attempt"],
            "preset": request["preset"],
            "config": request["config"],
            "dataset": request["dataset"],
            "publish_as": request["model"],
            "metadata": request["metadata"],
            "queue_position": waiting.index(job) if job in waiting else None,
            "progress": record["progress"],
            "metrics": record["metrics"],
            "model": record.get("model"),
            "error": record["error"],
            "links": {
                "self": base,
                "events": f"{base}/events",
                "metrics": f"{base}/metrics",
                "cancel": f"{base}/cancel",
                "dataset": f"/datasets/{request['dataset']['id']}",
            },
        }


def _check(folder: Folder, config: RunConfig) -> None:
    counts = folder.counts()
    if config.conditional and len(counts) < 2:
        raise InvalidValue(
            f"config.conditional is true, but {folder.root.name!r} has one class "
            f"({next(iter(counts))!r}).",
            field="config.conditional",
            value=True,
            remedy="Give a folder with a sub-folder for each of two or more classes, "
            "or set config.conditional to false.",
        )
    if config.batch_size > len(folder.files):
        raise InvalidValue(
            f"config.batch_size is {config.batch_size}, but {folder.root.name!r} holds "
            f"{len(folder.files)} images.",
            field="config.batch_size",
            value=config.batch_size,
            remedy=f"Use a batch size of at most {len(folder.files)}.",
        )
