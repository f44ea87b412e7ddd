"""How much a key may ask for: requests a minute, images a day.

Counted in Redis, so that replicas share the counts; in this process while Redis is away.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import Metric
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.access.callers import Caller
from app.metrics import counter
from library.errors import Busy
from library.settings import Settings
from worker import keys

logger = logging.getLogger("synthorax.app")

Headers = list[tuple[bytes, bytes]]
_AWAY_SECONDS = 5.0  # before Redis is asked again
_WHO_MAX = 100_000  # whose counts this process keeps
# Count, and take back what is too much.  Returns {let in, counted, milliseconds to the end}.
_SPEND = """
local now = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = tonumber(ARGV[2])
  redis.call('PEXPIRE', KEYS[1], left)
end
if now > tonumber(ARGV[3]) then
  return {0, redis.call('DECRBY', KEYS[1], ARGV[1]), left}
end
return {1, now, left}
"""
# Never below nothing: what was counted may be of a day that has ended, or of another count.
_GIVE_BACK = """
local now = tonumber(redis.call('GET', KEYS[1]) or '0')
if now > 0 then redis.call('DECRBY', KEYS[1], math.min(now, tonumber(ARGV[1]))) end
"""


class TooMany(Busy):
    slug, title, status = "too-many", "A limit is reached", 429


@dataclass(frozen=True)
class Policy:
    """So many (`most`) in so many `seconds`."""

    name: str
    most: int
    seconds: int
    setting: str


class Limits:
    """Of this service; a limit of 0 is none."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        self._requests = Policy(
            "requests", settings.requests_a_minute, 60, "SYNTHORAX_REQUESTS_A_MINUTE"
        )
        self._images = Policy("images", settings.images_a_day, 86_400, "SYNTHORAX_IMAGES_A_DAY")
        self._redis = redis
        self._script = redis.register_script(_SPEND) if redis is not None else None
        self._back = redis.register_script(_GIVE_BACK) if redis is not None else None
        self._away_until = 0.0
        self._refused: Counter[tuple[str]] = Counter({("requests",): 0, ("images",): 0})
        self._here: dict[str, tuple[int, float]] = {}  # counted, and the window's end

    async def aclose(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    def families(self) -> Iterator[Metric]:
        """For /metrics."""
        text = "Requests refused by a key's limit of requests a minute or images a day"
        yield counter("synthorax_limit_refusals", text, self._refused, ("limit",))

    async def request(self, caller: Caller) -> Headers:
        """Count a request; the headers that tell how many are left.  Raises TooMany."""
        return await self._spend(self._requests, caller, 1)

    async def images(self, caller: Caller | None, count: int) -> Headers:
        """Count images before they are made.  Raises TooMany."""
        return await self._spend(self._images, caller, count) if caller else []

    async def give_back(self, caller: Caller | None, count: int) -> None:
        """Images that were counted, and are not made."""
        if caller is None or not count or not self._images.most:
            return
        name = _name(self._images, caller)
        if self._back is not None and time.monotonic() >= self._away_until:
            try:
                await self._back([name], [count])
                return
            except (RedisError, OSError):
                self._is_away()
        counted, end = self._here.get(name, (0, 0.0))
        self._here[name] = max(0, counted - count), end

    async def _spend(self, policy: Policy, caller: Caller, count: int) -> Headers:
        if not policy.most:
            return []
        let_in, counted, seconds = await self._counted(_name(policy, caller), policy, count)
        left = max(0, policy.most - counted)
        if not let_in:
            self._refused[policy.name,] += 1
            error = TooMany(
                f"This asks for {count} {policy.name}, and {left} of {policy.most} are left for "
                f"the next {math.ceil(seconds)} s.",
                field=policy.name,
                value=count,
                remedy=f"Wait, or ask the operator for more ({policy.setting}).",
            )
            error.retry_after = math.ceil(seconds)
            raise error
        # draft-ietf-httpapi-ratelimit-headers
        return [
            (b"ratelimit-policy", f'"{policy.name}";q={policy.most};w={policy.seconds}'.encode()),
            (b"ratelimit", f'"{policy.name}";r={left};t={math.ceil(seconds)}'.encode()),
        ]

    async def _counted(self, name: str, policy: Policy, count: int) -> tuple[bool, int, float]:
        if self._script is not None and time.monotonic() >= self._away_until:
            try:
                let_in, counted, left = await self._script(
                    [name], [count, policy.seconds * 1000, policy.most]
                )
                return bool(let_in), int(counted), left / 1000
            except (RedisError, OSError):
                self._is_away()
        return self._counted_here(name, policy, count)

    def _is_away(self) -> None:
        logger.warning("Redis is away: limits are counted in this process alone")
        self._away_until = time.monotonic() + _AWAY_SECONDS

    def _counted_here(self, name: str, policy: Policy, count: int) -> tuple[bool, int, float]:
        now = time.monotonic()
        counted, end = self._here.get(name, (0, 0.0))
        if end <= now:
            if len(self._here) >= _WHO_MAX:
                self._here = {n: kept for n, kept in self._here.items() if kept[1] > now}
            counted, end = 0, now + policy.seconds
        let_in = counted + count <= policy.most
        counted += count if let_in else 0
        self._here[name] = counted, end
        return let_in, counted, end - now


def _name(policy: Policy, caller: Caller) -> str:
    return keys.limit(policy.name, caller.key or caller.address)
