"""When a queued job will begin, as far as that can be told honestly."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from library.digest import digest_json
from worker import keys
from worker.heartbeat import workers
from worker.jobs import JobStore
from worker.queue import TRAINING

# What decides the speed of a run, as far as its configuration goes.
_SPEED = ("family", "resolution", "generator_width", "discriminator_width", "batch_size")


def _rate_field(config: Mapping[str, Any]) -> str:
    return digest_json([config.get(name) for name in _SPEED])[:16]


def remember_rate(connection: redis.Redis, config: Mapping[str, Any], rate: float) -> None:
    """Keep the speed (images/s) of runs of this configuration."""
    connection.hset(keys.RATES, _rate_field(config), f"{rate:.2f}")


@dataclass(frozen=True)
class Wait:
    """How a queued job stands: 0 is next; seconds until it begins, None where unknown."""

    position: int
    reason: str
    starts_in_seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        return {"reason": self.reason, "starts_in_seconds": self.starts_in_seconds}


def waits(store: JobStore) -> dict[str, Wait]:
    """Every queued job's wait.  Raises redis.exceptions.RedisError."""
    queued = store.queued()
    if not queued:
        return {}
    connection: Any = store.redis
    there = [w for w in workers(connection) if w["queue"] == TRAINING]
    running = store.several(store.running())
    rates = {name: float(value) for name, value in connection.hgetall(keys.RATES).items()}
    records = {record["id"]: record for record in store.several(queued)}
    free = _free_at(running, len(there))
    found = {}
    for position, job in enumerate(queued):
        if job not in records:
            continue
        start = heapq.heappop(free) if free else None
        found[job] = Wait(position, _reason(position, len(running), len(there)), _rounded(start))
        length = _length(records[job], rates)
        # After a job of unknown length nothing behind it can be told.
        if start is not None and length is not None:
            heapq.heappush(free, start + length)
        elif start is not None:
            free = []
    return found


def _free_at(running: Sequence[Mapping[str, Any]], workers: int) -> list[float]:
    """Seconds until each worker is free; empty when that cannot be told."""
    left = []
    for record in running:
        progress = record["progress"]
        if progress is None:  # it has not come to its first numbers
            return []
        left.append(float(progress["eta_seconds"]))
    idle = max(0, workers - len(left))
    free = [0.0] * idle + left[:workers]
    heapq.heapify(free)
    return free


def _length(record: Mapping[str, Any], rates: Mapping[str, float]) -> float | None:
    """Seconds that a queued job will take, by the speed of an earlier one like it."""
    request = record["request"]
    rate = rates.get(_rate_field(request["config"]))
    if not rate or not request.get("images"):
        return None
    config = request["config"]
    shown = request["images"] // config["batch_size"] * config["batch_size"] * config["epochs"]
    done = record["progress"]["images"] if record["progress"] else 0
    return float(max(0, shown - done) / rate)


def _reason(position: int, running: int, workers: int) -> str:
    if workers == 0:
        return (
            "queued, but no training worker is connected: start one with `synthorax serve` or "
            "`python -m worker`"
        )
    ahead = position + min(running, workers)
    if running < workers and position < workers - running:
        return "next: a worker is free"
    return f"waiting behind {ahead} job{'' if ahead == 1 else 's'}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
