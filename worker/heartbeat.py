"""What each worker says of itself every few seconds, and who is at work by that."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio

from library.errors import Conflict
from library.settings import Settings
from worker import keys
from worker.gpus import Gpu, of_worker
from worker.leases import Lease
from worker.queue import TRAINING
from worker.records import now

LIVES = 3  # heartbeats that may be missed
CARDS_SECONDS = 30.0  # between two looks at the cards: the driver's tool is slow


def beat_seconds(settings: Settings) -> float:
    """Between two heartbeats; sweeps go with them, so that a dead worker's job is found in time.

    A lease and two beats pass at most between a worker's death and its job's next attempt.
    """
    return min(5.0, settings.lease_seconds / 4)


def worker_name(queue: str) -> str:
    """`training-4711@host`; another by SYNTHORAX_WORKER_NAME."""
    name = os.environ.get("SYNTHORAX_WORKER_NAME") or f"{queue}-{os.getpid()}"
    return f"{name}@{socket.gethostname()}"


@dataclass
class Heartbeat:
    """A worker's sign of life.  Methods raise redis.exceptions.RedisError."""

    connection: redis.Redis
    settings: Settings
    queue: str
    name: str
    cards: list[Gpu] = field(default_factory=list)
    started_at: str = field(default_factory=now)
    _cards_read_at: float = -math.inf

    def begin(self) -> None:
        """Claim this worker's cards.  Raises Conflict when another worker has one."""
        self._read_cards()
        for card, claim in zip(self.cards, self._claims(), strict=True):
            if not claim.take() and not claim.renew():
                other: Any = self.connection.get(claim.key)
                raise Conflict(
                    f"The GPU {card.index} ({card.name}) is worked by {other}.",
                    field="CUDA_VISIBLE_DEVICES",
                    value=os.environ.get("CUDA_VISIBLE_DEVICES"),
                    remedy="One worker a GPU: set CUDA_VISIBLE_DEVICES to another one, or stop "
                    "that worker (a dead one's claim ends by itself within "
                    f"{self._seconds:.0f} s).",
                )

    def beat(self) -> None:
        """Say that this worker is alive, and keep its cards."""
        if time.monotonic() - self._cards_read_at > CARDS_SECONDS:
            self._read_cards()
        for claim in self._claims():
            _ = claim.renew() or claim.take()
        said = {
            "name": self.name,
            "queue": self.queue,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self.started_at,
            "seen_at": now(),
            "device": self.settings.train_device,
            "processes": self.settings.train_processes,
            "gpus": [card.as_dict() for card in self.cards],
        }
        life = int(1000 * self._seconds)
        self.connection.set(keys.worker(self.name), json.dumps(said), px=life)

    def _read_cards(self) -> None:
        if self.queue == TRAINING:
            found = of_worker(self.settings.train_device, self.settings.train_processes)
            self.cards = found or self.cards  # a driver that does not answer for once
        self._cards_read_at = time.monotonic()

    def end(self) -> None:
        self.connection.delete(keys.worker(self.name))
        for claim in self._claims():
            claim.release()

    @property
    def _seconds(self) -> float:
        return max(3.0, LIVES * beat_seconds(self.settings))

    def _claims(self) -> list[Lease]:
        return [
            Lease(self.connection, keys.gpu(card.uuid), self.name, self._seconds)
            for card in self.cards
        ]


def workers(connection: redis.Redis) -> list[dict[str, Any]]:
    """The workers that live, by name."""
    client: Any = connection
    names = sorted(client.scan_iter(keys.worker("*"), count=1000))
    return _heard(client.mget(names) if names else [])


async def workers_soon(connection: redis.asyncio.Redis) -> list[dict[str, Any]]:
    """The same by an asynchronous client: none of the threads that wait for Redis is needed."""
    names = sorted([name async for name in connection.scan_iter(keys.worker("*"), count=1000)])
    return _heard(await connection.mget(names) if names else [])


def _heard(said: Sequence[str | bytes | None]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in said if text]
