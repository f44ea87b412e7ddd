"""Leases: who may act for a job, a dataset, a report.  The token is a fence: its holder alone may
write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import RedisError

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Lease:
    """A key that holds `token` for `seconds` after it was taken or renewed.

    Methods raise redis.exceptions.RedisError.
    """

    def __init__(self, connection: redis.Redis, key: str, token: str, seconds: float) -> None:
        self._redis: Any = connection  # typed loosely: redis-py's answers are unions
        self.key, self.token = key, token
        self._milliseconds = int(seconds * 1000)
        self._renew = self._redis.register_script(_RENEW)
        self._release = self._redis.register_script(_RELEASE)

    def take(self) -> bool:
        """Take it if nobody has it."""
        return bool(self._redis.set(self.key, self.token, nx=True, px=self._milliseconds))

    def renew(self) -> bool:
        """Make it last again; False when it has run out or is another's."""
        return bool(self._renew(keys=[self.key], args=[self.token, self._milliseconds]))

    def release(self) -> None:
        """Give it up, if it is still ours."""
        self._release(keys=[self.key], args=[self.token])


class Lost(Exception):
    """What a lease was for is another's now, or is gone."""


@contextmanager
def renewed(lease: Lease, seconds: float) -> Iterator[Callable[[], None]]:
    """Keep a lease for the block; the function given raises Lost once it is another's.

    For what has its record on the disk: while Redis is away it goes on, since whoever takes it up
    meanwhile does the same.
    """
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(seconds / 4):
            try:
                if not lease.renew() and not lease.take():
                    lost.set()
                    return
            except RedisError:
                continue

    def check() -> None:
        if lost.is_set():
            raise Lost

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()
