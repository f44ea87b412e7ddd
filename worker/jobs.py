"""Job records in Redis, the truth about train jobs: a hash, a stream of events, a lease each."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis
from redis.exceptions import RedisError

from library.errors import Conflict, NotFound, Unavailable
from worker.connection import PREFIX

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
EVENTS_KEPT = 10_000  # about, a job; metrics.jsonl in the run folder keeps all
TERMINAL_SECONDS = 30 * 86_400  # an ended job's events are kept this long
LEASE_MS = 30_000

_JSON_FIELDS = ("request", "progress", "metrics", "error")

# Record and event change together or not at all; the answer is the status that was found.
_TRANSITION = """
local found = redis.call('HGET', KEYS[1], 'status')
if not found then return false end
local allowed = cjson.decode(ARGV[1])
for _, status in ipairs(allowed) do
  if status == found then
    local fields = cjson.decode(ARGV[2])
    for name, value in pairs(fields) do redis.call('HSET', KEYS[1], name, value) end
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'event', ARGV[3])
    break
  end
end
return found
"""
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def events_key(job: str) -> str:
    return f"{PREFIX}job:{job}:events"


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


class JobStore:
    """Reads and changes job records.  Methods raise redis.exceptions.RedisError."""

    def __init__(self, connection: redis.Redis) -> None:
        self.redis: Any = connection  # typed loosely: redis-py's answers are unions
        self._transition = self.redis.register_script(_TRANSITION)
        self._renew = self.redis.register_script(_RENEW)
        self._release = self.redis.register_script(_RELEASE)

    # Records

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Record a queued job.  `request` holds dataset, model, preset, config, metadata."""
        job = f"job-{secrets.token_hex(8)}"
        fields = {
            "id": job,
            "status": "queued",
            "created_at": now(),
            "attempt": "0",
            "request": json.dumps(request),
        }
        event = _event("status", job, status="queued")
        pipe = self.redis.pipeline()
        pipe.hset(f"{PREFIX}job:{job}", mapping=fields)
        pipe.zadd(f"{PREFIX}jobs", {job: time.time()})
        pipe.xadd(events_key(job), {"event": json.dumps(event)})
        pipe.execute()
        return self.get(job)

    def delete(self, job: str) -> None:
        pipe = self.redis.pipeline()
        pipe.delete(f"{PREFIX}job:{job}", events_key(job))
        pipe.zrem(f"{PREFIX}jobs", job)
        pipe.execute()

    def get(self, job: str) -> dict[str, Any]:
        """The record, decoded.  Raises NotFound."""
        fields = self.redis.hgetall(f"{PREFIX}job:{job}")
        if not fields:
            raise NotFound(
                f"There is no train job {job!r}.",
                field="id",
                value=job,
                remedy="GET /train-jobs lists them.",
            )
        return _decoded(fields)

    def page(self, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Records, newest first; `after` is the last id of the page before.  Raises NotFound."""
        start = 0
        if after is not None:
            rank = self.redis.zrevrank(f"{PREFIX}jobs", after)
            if rank is None:
                self.get(after)  # says that it does not exist
            start = (rank or 0) + 1
        ids = self.redis.zrevrange(f"{PREFIX}jobs", start, start + limit - 1)
        pipe = self.redis.pipeline()
        for job in ids:
            pipe.hgetall(f"{PREFIX}job:{job}")
        return [_decoded(fields) for fields in pipe.execute() if fields]

    def waiting(self) -> list[str]:
        """Ids of queued jobs, oldest first."""
        return [job for job, status in self._statuses() if status == "queued"]

    def _statuses(self) -> list[tuple[str, str]]:
        ids = self.redis.zrange(f"{PREFIX}jobs", 0, -1)
        pipe = self.redis.pipeline()
        for job in ids:
            pipe.hget(f"{PREFIX}job:{job}", "status")
        return list(zip(ids, pipe.execute(), strict=True))

    # Changes

    def transition(
        self, job: str, allowed: tuple[str, ...], status: str, **fields: Any
    ) -> tuple[bool, str]:
        """Move a job to a status if it is in one of `allowed`, with an event.

        Returns (moved, the status that was found).  Raises NotFound.
        """
        event = _event("status", job, status=status, **fields)
        values = {"status": status, **fields}
        if status in TERMINAL:
            values["finished_at"] = event["time"]
        stored = {k: json.dumps(v) if k in _JSON_FIELDS else v for k, v in values.items()}
        found = self._transition(
            keys=[f"{PREFIX}job:{job}", events_key(job)],
            args=[
                json.dumps(allowed),
                json.dumps({k: str(v) for k, v in stored.items() if v is not None}),
                json.dumps(event),
                EVENTS_KEPT,
            ],
        )
        if found is None:
            self.get(job)
        if found in allowed and status in TERMINAL:
            self.redis.expire(events_key(job), TERMINAL_SECONDS)
        return found in allowed, found

    def cancel(self, job: str) -> dict[str, Any]:
        """Ask for a job to end.  Raises Conflict for one that has ended."""
        moved, _ = self.transition(job, ("queued",), "cancelled")
        if not moved:
            moved, found = self.transition(job, ("running", "cancelling"), "cancelling")
            if not moved:
                raise Conflict(
                    f"The train job {job!r} has already {found}."
                    if found != "cancelled"
                    else f"The train job {job!r} is already cancelled.",
                    field="id",
                    value=job,
                    remedy="Only queued and running jobs can be cancelled.",
                )
        return self.get(job)

    def record_event(self, job: str, event: dict[str, Any]) -> None:
        """Append an event of the trainer; a metric also becomes the record's latest numbers."""
        event = {**event, "job": job}
        pipe = self.redis.pipeline()
        if event["type"] == "metric":
            progress = ("epoch", "epochs", "images", "fraction", "eta_seconds")
            metrics = ("loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2", "images_per_second")
            fields = {
                "progress": json.dumps({name: event[name] for name in progress}),
                "metrics": json.dumps({name: event[name] for name in metrics}),
            }
            pipe.hset(f"{PREFIX}job:{job}", mapping=fields)
        pipe.xadd(
            events_key(job), {"event": json.dumps(event)}, maxlen=EVENTS_KEPT, approximate=True
        )
        pipe.execute()

    # Leases: who runs a job

    def take_lease(self, job: str, token: str) -> bool:
        return bool(self.redis.set(_lease(job), token, nx=True, px=LEASE_MS))

    def renew_lease(self, job: str, token: str) -> bool:
        return bool(self._renew(keys=[_lease(job)], args=[token, LEASE_MS]))

    def release_lease(self, job: str, token: str) -> None:
        self._release(keys=[_lease(job)], args=[token])

    def orphans(self) -> list[str]:
        """Jobs that are running by their record, but in nobody's hands."""
        started = [job for job, s in self._statuses() if s in ("running", "cancelling")]
        return [job for job in started if not self.redis.exists(_lease(job))]

    # Workers

    def beat(self, worker: str, seconds: int) -> None:
        """Say that a worker is alive, for as long."""
        self.redis.set(f"{PREFIX}worker:{worker}", now(), ex=seconds)

    def workers(self) -> list[str]:
        prefix = f"{PREFIX}worker:"
        return sorted(key[len(prefix) :] for key in self.redis.scan_iter(f"{prefix}*"))

    def ping(self) -> bool:
        return bool(self.redis.ping())


def _lease(job: str) -> str:
    return f"{PREFIX}job:{job}:lease"


def _event(kind: str, job: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "time": now(), "job": job, **fields}


def _decoded(fields: dict[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = dict(fields)
    for name in _JSON_FIELDS:
        record[name] = json.loads(fields[name]) if name in fields else None
    record["attempt"] = int(fields.get("attempt", "0"))
    return record
