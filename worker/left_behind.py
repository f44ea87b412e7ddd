"""What is to be done on the light queue, and has neither a worker nor a message: sent again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import redis

from worker.queue import LIGHT, messages

logger = logging.getLogger("synthorax.worker")


class LeftBehind:
    """lease: the key of a thing's lease; send: puts it into the queue again."""

    def __init__(
        self, connection: redis.Redis, lease: Callable[[str], str], send: Callable[[str], None]
    ) -> None:
        self._connection, self._lease, self._send = connection, lease, send
        self._idle: set[str] = set()  # at the last look

    def look(self, waiting: Sequence[str]) -> None:
        """One look; between a message and its lease there is a moment, so two must agree."""
        there = messages(self._connection, LIGHT) if waiting else {}
        idle = {
            each
            for each in waiting
            if each not in there and not self._connection.exists(self._lease(each))
        }
        for each in sorted(idle & self._idle):
            logger.warning("%s was left behind and is sent again", each)
            self._send(each)
        self._idle = idle - self._idle
