"""Leases: who may act for a job or a dataset.  The token is a fence: its holder alone may write."""

from __future__ import annotations

from typing import Any

import redis

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
