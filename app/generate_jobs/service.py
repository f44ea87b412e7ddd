"""Accepting, showing, ending and deleting generate jobs."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from redis.exceptions import RedisError

from app.asked import Asked
from app.engine.pool import EnginePool
from app.generate.samples import drawn_seed
from app.generate_jobs.schemas import GenerateJobRequest
from library import generate_jobs
from library.atomic import read_json
from library.disk import DiskFull
from library.errors import Conflict, NotFound
from library.generate_jobs import ENDED, GenerateJob
from library.logs import request_id
from library.settings import Settings
from library.store.shared import open_store
from library.trace_context import traceparent
from library.versions import Version, label_index
from worker import keys
from worker.generation import send_again
from worker.heartbeat import workers
from worker.jobs import JobStore, reaching_redis
from worker.queue import GENERATION, enqueue_generation

_RATE_SHARDS = 20  # of late, for the speed that is shown
_BYTES_A_PIXEL, _BYTES_A_SAMPLE = 1.0, 3500  # of an image in a WebDataset; an upper bound
_SHOWN = (
    "id", "created_at", "model", "digest", "labels", "count", "seed", "truncation", "format",
    "container", "shard_images",
)  # fmt: skip


class GenerateJobService:
    """Methods raise NotFound for what does not exist, Unavailable while Redis is away."""

    def __init__(
        self, settings: Settings, pool: EnginePool, store: JobStore, celery: Celery
    ) -> None:
        self._data_dir = settings.data_dir
        bucket = open_store(settings)
        self._shared = bucket.generated if bucket else None
        self._pool, self._store, self._celery = pool, store, celery

    def checked(self, request: GenerateJobRequest) -> Version:
        """The version of a request that can be met.  Raises InvalidValue, DiskFull."""
        version = self._pool.find(request.model)
        for i, label in enumerate(request.labels or []):
            label_index(version, label, f"labels.{i}")
        label_index(version, request.label)
        self._check_room(request, version)
        return version

    def made(self, request: GenerateJobRequest, key: str | None, who: str) -> dict[str, Any] | None:
        """The job that the same request with this Idempotency-Key has made before."""
        job = self._asked(request, key, who).before(partial(generate_jobs.find, self._data_dir))
        return None if job is None else self.shown(job)

    @staticmethod
    def _asked(request: GenerateJobRequest, key: str | None, who: str) -> Asked:
        return Asked.of(request, generate_jobs.new_identity(), key, who)

    def record(
        self, request: GenerateJobRequest, version: Version, key: str | None, who: str
    ) -> tuple[GenerateJob, bool]:
        """A new job, not queued yet; False when one with this Idempotency-Key (of `who`) came
        before it."""
        asked = self._asked(request, key, who)
        with reaching_redis():
            self._store.ping()  # nothing is recorded that nobody would make
        seed = drawn_seed(request.count) if request.seed is None else request.seed
        labels = request.labels or ([request.label] if request.label is not None else None)
        record = {
            "created_at": generate_jobs.now(),
            "request": request_id.get(),  # lines in logs, and spans, that come of it name it
            "traceparent": traceparent.get(),
            "asked": asked.digest,
            "model": version.reference,
            "digest": version.digest,
            "resolution": version.resolution,
            "private": version.private,
            "labels": labels,
            "seed": seed,
            **request.model_dump(
                include={"count", "truncation", "format", "container", "shard_images"}
            ),
        }
        job, new = generate_jobs.create(self._data_dir, asked.identity, record)
        return asked.same(job), new

    def queue(self, job: GenerateJob) -> dict[str, Any]:
        """Where this fails, a sweep does it."""
        self._tell_machines(job, new=True)
        with reaching_redis():
            self._send(job)
        return self.shown(job)

    def page(self, status: str | None, after: str | None, limit: int) -> dict[str, Any]:
        """Jobs, newest first; `after` is the last id of the page before."""
        found = generate_jobs.jobs(self._data_dir)
        if after is not None:
            self.find(after)
            found = found[[job.id for job in found].index(after) + 1 :]
        if status is not None:
            found = [job for job in found if job.status == status]
        return {"data": [self.shown(job) for job in found[:limit]], "has_more": len(found) > limit}

    def find(self, identity: str) -> GenerateJob:
        return generate_jobs.find(self._data_dir, identity)

    def shards(self, identity: str) -> list[dict[str, Any]]:
        job = self.find(identity)
        return [read_json(job.shard_record(number)) for number in sorted(job.done())]

    def shard(self, identity: str, name: str) -> tuple[Path, str]:
        """A shard's file and its SHA-256.  Raises NotFound for one that is not there yet."""
        job = self.find(identity)
        for number in job.done():
            if job.shard(number).name == name:
                sha256 = str(read_json(job.shard_record(number))["sha256"])
                if self._shared is not None:
                    self._shared.bring(job, number, sha256)
                return job.shard(number), sha256
        raise NotFound(
            f"There is no shard {name!r} of {identity}, or not yet.",
            field="shard",
            value=name,
            remedy=f"GET /generate-jobs/{identity}/shards lists those that are there.",
        )

    def manifest(self, identity: str) -> Path:
        """Raises Conflict before all shards are there."""
        job = self.find(identity)
        if not job.manifest_path.is_file():
            raise Conflict(
                f"The generate job {identity!r} is {job.status}: its manifest comes with its last "
                "shard.",
                field="id",
                value=identity,
                remedy=f"GET /generate-jobs/{identity}/shards lists what is there.",
            )
        return job.manifest_path

    def cancel(self, identity: str) -> dict[str, Any]:
        """End a job; its shards stay.  Raises Conflict when it has ended."""
        job = self.find(identity)
        if job.status in ENDED:
            raise Conflict(
                f"The generate job {identity!r} is {job.status}.", field="id", value=identity
            )
        job.finish("cancelled")
        self._tell_machines(job)
        return self.shown(job)

    def resume(self, identity: str) -> dict[str, Any]:
        """Make what is missing of a cancelled or failed job.  Raises Conflict otherwise."""
        job = self.find(identity)
        if job.status not in ("cancelled", "failed"):
            raise Conflict(
                f"The generate job {identity!r} is {job.status}.",
                field="id",
                value=identity,
                remedy="Only a cancelled or failed job can be resumed.",
            )
        with reaching_redis():
            self._store.ping()
            job.unfinish()
            self._tell_machines(job)
            if not job.complete(elsewhere=self._shared is not None):
                self._send(job)
        return self.shown(job)

    def delete(self, identity: str) -> None:
        generate_jobs.remove(self._data_dir, identity)
        if self._shared is not None:
            self._shared.remove(identity)

    def shown(self, job: GenerateJob) -> dict[str, Any]:
        """A job as the API shows it."""
        record, status, end = job.record, job.status, job.end
        base = f"/generate-jobs/{job.id}"
        links = {"self": base, "shards": f"{base}/shards"}
        error, finished = None, None
        if status == "succeeded":
            links["manifest"] = f"{base}/manifest.json"
            finished = _moment(job.manifest_path)
        elif status in ENDED and end is not None:
            error, finished = end["error"], end["finished_at"]
        return {
            **{name: record[name] for name in _SHOWN},
            "shards": job.shards,
            "status": status,
            "finished_at": finished,
            "engine": job.engine,
            "progress": self._progress(job, status),
            "waiting": None if status in ENDED else self._waiting(),
            "error": error,
            "links": links,
        }

    def _progress(self, job: GenerateJob, status: str) -> dict[str, Any]:
        done = job.done()
        images = sum(job.span(number)[1] for number in done)
        rate, eta = None, None
        if status not in ENDED:
            images += self._unfinished(job, done)
            rate = _rate(job, done)
            eta = round((job.record["count"] - images) / rate, 1) if rate else None
        return {
            "shards": len(done),
            "images": images,
            "fraction": images / job.record["count"],
            "images_per_second": rate,
            "eta_seconds": eta,
        }

    def _unfinished(self, job: GenerateJob, done: set[int]) -> int:
        """Images of shards that workers are at."""
        try:
            written: dict[str, str] = self._store.redis.hgetall(keys.shard_progress(job.id))
        except RedisError:
            return 0
        return sum(int(images) for number, images in written.items() if int(number) not in done)

    def _waiting(self) -> str | None:
        try:
            here = workers(self._store.redis)
        except RedisError:
            return "Redis is away"
        if not any(worker["queue"] == GENERATION for worker in here):
            return (
                "no generation worker is connected: `synthorax serve` starts one by itself, "
                "elsewhere `python -m worker generation` does"
            )
        return None

    def _tell_machines(self, job: GenerateJob, new: bool = False) -> None:
        """Where machines share a store: the others make its shards, too.  Raises StoreAway."""
        if self._shared is not None and new:
            self._shared.give(job)
        elif self._shared is not None:
            self._shared.tell(job)

    def _send(self, job: GenerateJob) -> None:
        send_again(job, self._store.redis, partial(enqueue_generation, self._celery))

    def _check_room(self, request: GenerateJobRequest, version: Version) -> None:
        needed = request.count * int(version.resolution**2 * _BYTES_A_PIXEL + _BYTES_A_SAMPLE)
        free = shutil.disk_usage(self._data_dir).free
        if needed > free:
            raise DiskFull(
                f"{request.count:,} images take about {needed / 2**30:,.1f} GiB, and "
                f"{free / 2**30:,.1f} GiB are free.",
                field="count",
                value=request.count,
                remedy="Free some space, ask for fewer, or in several jobs that are fetched and "
                "deleted one after the other: the seeds go on.",
            )


def _rate(job: GenerateJob, done: set[int]) -> float | None:
    """Images a second, by the moments at which the last shards came; None while it cannot be told
    or when the last is long ago."""
    moments = []
    for number in done:
        try:
            moments.append((job.shard_record(number).stat().st_mtime, job.span(number)[1]))
        except FileNotFoundError:
            continue
    moments = sorted(moments)[-_RATE_SHARDS:]
    if len(moments) < 2:
        return None
    passed = moments[-1][0] - moments[0][0]
    if passed <= 0 or time.time() - moments[-1][0] > max(60.0, 3 * passed):
        return None
    return round(sum(images for _, images in moments[1:]) / passed, 1)


def _moment(path: Path) -> str:
    return generate_jobs.moment(path.stat().st_mtime)
