"""What Redis holds of a service, as lines of JSON, and back into an empty one.

By the keys' own commands and not by DUMP: any version of Redis or Valkey reads it, and a user who
may do no more than the service may.  A job's record and events are read in one transaction.  What
ends by itself (leases, heartbeats, costs) is left out, and so are Celery's queues: every job that
is queued by its record is sent again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any

import redis

from library.errors import Conflict
from worker import keys
from worker.jobs import FREE, Fenced, JobStore
from worker.records import TERMINAL, place, seconds

_PASSING = ("celery:", "worker:", "gpu:", "cost:", "restore:")
_PASSING_ONES = frozenset({"sweep", "restored"})
_BATCH = 500  # commands in one round trip


def is_kept(name: str) -> bool:
    """Whether a key, named without its prefix, is part of a backup."""
    return not (
        name.startswith(_PASSING) or name in _PASSING_ONES or name.endswith((":lease", ":attempts"))
    )


def dump(connection: redis.Redis) -> Iterator[dict[str, Any]]:
    """Each key once: name without prefix, type, value, end of its life (ms since 1970 or None).

    Raises redis.exceptions.RedisError.
    """
    client: Any = connection
    found = {name.removeprefix(keys.PREFIX) for name in client.scan_iter(f"{keys.PREFIX}*", 1000)}
    names = sorted(name for name in found if is_kept(name))
    for _, group in groupby(sorted(names, key=_owner), _owner):
        yield from _read(client, list(group))


def _owner(name: str) -> str:
    """A job's record and its events belong together: `job:{id}`."""
    return ":".join(name.split(":")[:2]) if name.startswith("job:") else name


def _read(client: Any, names: list[str]) -> Iterator[dict[str, Any]]:
    kinds = [client.type(keys.PREFIX + name) for name in names]
    there = [(name, kind) for name, kind in zip(names, kinds, strict=True) if kind in _READ]
    pipe = client.pipeline(transaction=True)
    for name, kind in there:
        _READ[kind](pipe, keys.PREFIX + name)
        pipe.pttl(keys.PREFIX + name)
    answers = pipe.execute()
    now = int(time.time() * 1000)
    for (name, kind), value, left in zip(there, answers[::2], answers[1::2], strict=True):
        if value:  # else it has gone since
            content = sorted(value) if kind == "set" else value
            ends = now + left if left >= 0 else None
            yield {"key": name, "type": kind, "value": content, "expires": ends}


_READ: dict[str, Any] = {
    "string": lambda pipe, key: pipe.get(key),
    "hash": lambda pipe, key: pipe.hgetall(key),
    "list": lambda pipe, key: pipe.lrange(key, 0, -1),
    "set": lambda pipe, key: pipe.smembers(key),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    "stream": lambda pipe, key: pipe.xrange(key),
}


def refuse_what_is_not_empty(connection: redis.Redis) -> None:
    """Raises Conflict where there are keys, beside those of a restore that was broken off."""
    client: Any = connection
    for name in client.scan_iter(f"{keys.PREFIX}*", 1000):
        if not name.startswith(keys.RESTORING):
            raise Conflict(
                "Redis holds keys of Synthorax already: jobs, or a worker that runs.",
                field="SYNTHORAX_REDIS_URL",
                remedy="Stop every service; give an empty Redis, or another database of it: "
                "nothing is overwritten.",
            )


def load(connection: redis.Redis, lines: Iterable[str], identity: str) -> int:
    """Put back what `dump` gave, all at once or not at all; how many keys there are.

    identity: of the backup; loading it twice does nothing the second time.  Raises Conflict when
    there is something else, redis.exceptions.RedisError.
    """
    client: Any = connection
    if client.get(keys.RESTORED) == identity:
        return 0
    refuse_what_is_not_empty(connection)
    for left in client.scan_iter(f"{keys.RESTORING}*", 1000):
        client.delete(left)
    names = []
    for line in lines:
        entry = json.loads(line)
        if entry["expires"] is None or entry["expires"] > time.time() * 1000:
            _write(client, entry)
            names.append(entry["key"])
    pipe = client.pipeline(transaction=True)
    for name in names:
        pipe.rename(keys.RESTORING + name, keys.PREFIX + name)
    pipe.set(keys.RESTORED, identity)
    pipe.execute()
    return len(names)


def _write(client: Any, entry: dict[str, Any]) -> None:
    key, value = keys.RESTORING + entry["key"], entry["value"]
    match entry["type"]:
        case "string":
            commands: list[tuple[Any, ...]] = [("SET", key, value)]
        case "hash":
            commands = [("HSET", key, field, text) for field, text in value.items()]
        case "list":
            commands = [("RPUSH", key, text) for text in value]
        case "set":
            commands = [("SADD", key, text) for text in value]
        case "zset":
            commands = [("ZADD", key, repr(score), member) for member, score in value]
        case _:  # stream
            commands = [
                ("XADD", key, identity, *(text for pair in fields.items() for text in pair))
                for identity, fields in value
            ]
    for start in range(0, len(commands), _BATCH):
        pipe = client.pipeline(transaction=False)
        for command in commands[start : start + _BATCH]:
            pipe.execute_command(*command)
        pipe.execute()
    if entry["expires"] is not None:
        client.pexpireat(key, entry["expires"])


def settle(store: JobStore) -> list[str]:
    """Make lists of jobs agree with the records, and queue again what ran; ids of what will run.

    A running job has lost its worker without anybody's fault: that is no death of an attempt.
    Twice is harmless.  Raises redis.exceptions.RedisError.
    """
    client = store.redis
    prefix = keys.record("")
    jobs = {
        name.removeprefix(prefix)
        for name in client.scan_iter(f"{prefix}*", 1000)
        if ":" not in name.removeprefix(prefix)
    }
    for key in (keys.JOBS, keys.QUEUED, keys.WEBHOOKS):
        for gone in set(client.zrange(key, 0, -1)) - jobs:
            client.zrem(key, gone)
    for gone in set(client.smembers(keys.RUNNING)) - jobs:
        client.srem(keys.RUNNING, gone)
    waiting = []
    for job in sorted(jobs):
        record = store.get(job)
        _enlist(client, record)
        if record["status"] in TERMINAL:
            continue
        told = {"reason": "restored from a backup"}
        with suppress(Fenced):  # a worker has it already: this is a second call
            if record["status"] == "cancelling":
                store.transition(job, ("cancelling",), "cancelled", fence=FREE, told=told)
            else:
                waiting.append(job)
                store.transition(
                    job, ("running",), "queued", fence=FREE, told=told, interrupted=True
                )
    return waiting


def _enlist(client: Any, record: dict[str, Any]) -> None:
    """Put a job into the lists that its record says, and take it out of the others."""
    job, status = record["id"], record["status"]
    pipe = client.pipeline(transaction=True)
    pipe.zadd(keys.JOBS, {job: seconds(record["created_at"])}, nx=True)
    if status == "queued":
        pipe.zadd(keys.QUEUED, {job: place(record)}, nx=True)
    else:
        pipe.zrem(keys.QUEUED, job)
    if status in ("running", "cancelling"):
        pipe.sadd(keys.RUNNING, job)
    else:
        pipe.srem(keys.RUNNING, job)
    if status in TERMINAL and (record["webhook"] or {}).get("status") == "pending":
        pipe.zadd(keys.WEBHOOKS, {job: time.time()}, nx=True)
    pipe.execute()
