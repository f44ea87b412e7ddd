"""When a request becomes slow: one timer for all, since most are answered before it fires."""

from __future__ import annotations

import asyncio
from typing import Protocol

SLOW_SECONDS = 0.01


class Slow(Protocol):
    """A request that may have ended before it is slow."""

    closed: bool

    def slow(self) -> None: ...


class Clock:
    """Calls `slow` of each request that is still open after SLOW_SECONDS to twice that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._young: list[Slow] = []
        self._old: list[Slow] = []
        self._ticking = False

    def watch(self, request: Slow) -> None:
        self._young.append(request)
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(SLOW_SECONDS, self._tick)

    def _tick(self) -> None:
        """Two generations, so that nothing is looked at that is younger than a tick."""
        due, self._old, self._young = self._old, self._young, []
        for request in due:
            if not request.closed:
                request.slow()
        self._ticking = bool(self._old)
        if self._ticking:
            self.loop.call_later(SLOW_SECONDS, self._tick)
