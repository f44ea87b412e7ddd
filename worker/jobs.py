"""Job records in Redis, the truth about train jobs: a hash, a stream of events, a lease each."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import RedisError

from library.errors import Conflict, NotFound, Unavailable
from library.logs import request_id
from library.trace_context import traceparent
from worker import keys, scripts
from worker.leases import Lease
from worker.records import TERMINAL, decoded, encoded, event, latest, now, place, queued_at, seconds

FREE = "free"  # a fence: nobody may hold the job


class Fenced(Exception):
    """The job is in another's hands: nothing was written."""


@contextmanager
def reaching_redis() -> Iterator[None]:
    """Turn redis-py's errors into Unavailable."""
    try:
        yield
    except RedisError as error:
        raise Unavailable(
            f"Train jobs cannot be reached: Redis is away ({type(error).__name__}).",
            remedy="Generation goes on. Try again when Redis is back; `synthorax doctor` "
            "says what is wrong.",
        ) from None


def new_id() -> str:
    return f"job-{secrets.token_hex(8)}"


class JobStore:
    """Reads and changes job records.  Methods raise redis.exceptions.RedisError."""

    def __init__(self, connection: redis.Redis) -> None:
        self.redis: Any = connection  # typed loosely: redis-py's answers are unions
        self._create, self._transition, self._record, self._delete = (
            self.redis.register_script(text)
            for text in (scripts.CREATE, scripts.TRANSITION, scripts.RECORD, scripts.DELETE)
        )

    # Reading

    def get(self, job: str) -> dict[str, Any]:
        """The record, decoded.  Raises NotFound."""
        fields = self.redis.hgetall(keys.record(job))
        if not fields:
            raise NotFound(
                f"There is no train job {job!r}.",
                field="id",
                value=job,
                remedy="GET /train-jobs lists them.",
            )
        return decoded(fields)

    def several(self, jobs: Sequence[str]) -> list[dict[str, Any]]:
        """The records of those that exist."""
        pipe = self.redis.pipeline(transaction=False)
        for job in jobs:
            pipe.hgetall(keys.record(job))
        return [decoded(fields) for fields in pipe.execute() if fields]

    def page(self, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Records, newest first; `after` is the last id of the page before.  Raises NotFound."""
        start = 0
        if after is not None:
            rank = self.redis.zrevrank(keys.JOBS, after)
            if rank is None:
                self.get(after)  # says that it does not exist
            start = (rank or 0) + 1
        return self.several(self.redis.zrevrange(keys.JOBS, start, start + limit - 1))

    def queued(self) -> list[str]:
        """Ids of queued jobs, in the order in which they will run."""
        ids: list[str] = self.redis.zrange(keys.QUEUED, 0, -1)
        return ids

    def running(self) -> list[str]:
        """Ids of running and cancelling jobs."""
        return sorted(self.redis.smembers(keys.RUNNING))

    def unfinished(self) -> list[dict[str, Any]]:
        """Records of all jobs that have not ended."""
        return self.several([*self.queued(), *self.running()])

    def orphans(self) -> list[str]:
        """Jobs that are running by their record, but in nobody's hands."""
        jobs = self.running()
        pipe = self.redis.pipeline(transaction=False)
        for job in jobs:
            pipe.exists(keys.job_lease(job))
        return [job for job, held in zip(jobs, pipe.execute(), strict=True) if not held]

    def counts(self) -> dict[str, int]:
        """How many jobs there are, are queued and run."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.zcard(keys.JOBS).zcard(keys.QUEUED).scard(keys.RUNNING)
        return dict(zip(("jobs", "queued", "running"), pipe.execute(), strict=True))

    def waited_longest(self) -> float:
        """Seconds since the job was queued that has waited longest; 0: none waits."""
        since = [
            queued_at(place) for _, place in self.redis.zrange(keys.QUEUED, 0, -1, withscores=True)
        ]
        return max(0.0, time.time() - min(since)) if since else 0.0

    # Changes

    def create(
        self,
        request: Mapping[str, Any],
        job: str | None = None,
        webhook: str | None = None,
        idempotency: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """Record a queued job, once for an id; `idempotency` is a key and its value.

        `request` holds dataset, model, preset, config, metadata, labels, priority, images, ….
        """
        job = job or new_id()
        fields = {
            "id": job,
            "status": "queued",
            "created_at": now(),
            "attempt": 0,
            "request_id": request_id.get(),  # later attempts are logged under it, too
            "traceparent": traceparent.get(),  # and are of this trace
            "request": dict(request),
            "webhook": {"url": webhook, "status": "pending", "attempts": 0} if webhook else None,
        }
        names = [keys.record(job), keys.events(job), keys.JOBS, keys.QUEUED]
        values: list[Any] = [job, json.dumps(encoded(fields))]
        values += [
            json.dumps(event("status", job, status="queued")),
            time.time(),
            place(decoded(encoded(fields))),
        ]
        if idempotency is not None:
            names.append(idempotency[0])
            values += [idempotency[1], keys.IDEMPOTENCY_SECONDS]
        self._create(keys=names, args=values)
        return self.get(job)

    def restore(self, record: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> bool:
        """Put back a record that Redis has lost, with its events; False when there is one."""
        job, status = record["id"], record["status"]
        if self.redis.exists(keys.record(job)):
            return False
        pipe = self.redis.pipeline()
        pipe.delete(keys.events(job))
        pipe.hset(keys.record(job), mapping=encoded(record))
        pipe.zadd(keys.JOBS, {job: seconds(record["created_at"])})
        for each in events:
            pipe.xadd(keys.events(job), {"event": json.dumps(each)}, maxlen=keys.EVENTS_KEPT)
        if status == "queued":
            pipe.zadd(keys.QUEUED, {job: place(record)})
        elif status in TERMINAL:
            pipe.expire(keys.events(job), keys.EVENTS_SECONDS)
            if record.get("webhook") is not None:  # it ends by this
                pipe.zadd(keys.WEBHOOKS, {job: time.time()})
        else:
            pipe.sadd(keys.RUNNING, job)
        pipe.execute()
        return True

    def delete(self, job: str) -> None:
        """Forget an ended job.  Raises Conflict for one that has not ended."""
        names = [keys.record(job), keys.events(job), keys.JOBS, keys.WEBHOOKS]
        status = self._delete(keys=names, args=[job])
        if status:
            raise Conflict(
                f"The train job {job!r} is {status}.",
                field="id",
                value=job,
                remedy="Cancel it first: only ended jobs can be deleted.",
            )

    def transition(
        self,
        job: str,
        allowed: Sequence[str],
        status: str,
        *,
        fence: str = "",
        told: Mapping[str, Any] | None = None,
        drop: Sequence[str] = (),
        **fields: Any,
    ) -> tuple[bool, str]:
        """Move a job to a status if it is in one of `allowed`, with an event.

        fence: the token that must hold the lease, or FREE; told: what the event says beside the
        fields.  Returns (moved, the status that was found).  Raises NotFound, Fenced.
        """
        told = {k: v for k, v in fields.items() if k not in ("ends", "request", "webhook")} | (
            dict(told) if told else {}
        )
        happened = event("status", job, status=status, **told)
        values = {"status": status, **fields}
        if status in TERMINAL:
            values["finished_at"] = happened["time"]
        place_in_queue = 0
        if status == "queued":
            kept = {name: False for name in drop}
            place_in_queue = place({**self.get(job), **kept, **fields})
        names = [keys.record(job), keys.events(job), keys.job_lease(job)]
        outcome, found = self._transition(
            keys=[*names, keys.QUEUED, keys.RUNNING, keys.WEBHOOKS],
            args=[
                job,
                json.dumps(list(allowed)),
                json.dumps(encoded(values)),
                json.dumps(list(drop)),
                json.dumps(happened),
                fence,
                place_in_queue,
                keys.EVENTS_KEPT,
                keys.EVENTS_SECONDS,
                time.time(),
            ],
        )
        if outcome == "missing":
            self.get(job)
        if outcome == "fenced":
            raise Fenced(job)
        return outcome == "moved", found

    def record_events(
        self, job: str, fence: str, events: Sequence[Mapping[str, Any]], before: int = 0
    ) -> None:
        """Append events of the trainer; the latest metric becomes the record's numbers.

        before: how many were recorded under this fence; those that are there are left out.
        Raises Fenced when `fence` does not hold the job, NotFound.
        """
        events = [{**each, "job": job} for each in events]
        steps = [int(each["step"]) for each in events if each["type"] == "checkpoint"]
        outcome = self._record(
            keys=[keys.record(job), keys.events(job), keys.job_lease(job)],
            args=[
                fence,
                keys.EVENTS_KEPT,
                json.dumps(encoded(latest(events))),
                max(steps, default=-1),
                before,
                *map(json.dumps, events),
            ],
        )
        if outcome == "fenced":
            raise Fenced(job)
        if outcome == "missing":
            self.get(job)

    def tell_later(self, happened: Mapping[str, Any]) -> bool:
        """An event about a job that may have ended; False when its stream is gone."""
        stream, fields = keys.events(happened["job"]), {"event": json.dumps(happened)}
        return bool(self.redis.xadd(stream, fields, maxlen=keys.EVENTS_KEPT, nomkstream=True))

    def ran(self, job: str, more: float) -> float:
        """Add to the time that a job has run; returns it (s)."""
        return float(self.redis.hincrbyfloat(keys.record(job), "ran_seconds", round(more, 3)))

    def lease(self, job: str, token: str, life: float) -> Lease:
        return Lease(self.redis, keys.job_lease(job), token, life)

    def ping(self) -> bool:
        return bool(self.redis.ping())
