"""Wrong keys: answered ever more slowly, a few at a time, and written down."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

from library.errors import Busy

FORGET_SECONDS = 900.0
FREE = 3  # wrong keys of an address that cost nothing: somebody mistypes
FIRST_SECONDS, LONGEST_SECONDS = 0.25, 8.0
WAITING_MAX = 64  # wrong ones that are kept waiting at once; the others are told to come later
_ADDRESSES_MAX = 10_000


@dataclass
class _Record:
    count: int = 0
    last: float = 0.0
    told: float = float("-inf")
    untold: int = 0


class Failures:
    """Of each address, in this process."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._waiting = 0

    async def happened(self, address: str) -> int | None:
        """Wait as the address has earned; how many wrong keys to write down now, if any.

        One line a second of an address is enough.  Raises Busy where too many wait already.
        """
        now = time.monotonic()
        record = self._of(address, now)
        record.count += 1
        record.last = now
        record.untold += 1
        count = None
        if now - record.told >= 1.0:
            record.told, count, record.untold = now, record.untold, 0
        delay = self.delay(record.count)
        if delay:
            await self._wait(delay)
        return count

    @staticmethod
    def delay(count: int) -> float:
        """Seconds that the count-th wrong key of an address waits."""
        if count <= FREE:
            return 0.0
        return float(min(FIRST_SECONDS * 2 ** min(count - FREE - 1, 16), LONGEST_SECONDS))

    async def _wait(self, seconds: float) -> None:
        if self._waiting >= WAITING_MAX:
            raise TooManyWrong(
                "Too many requests with wrong keys are under way.",
                field="Authorization",
                remedy="Come back later, with a right one.",
            )
        self._waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting -= 1

    def _of(self, address: str, now: float) -> _Record:
        record = self._records.pop(address, None)
        if record is None or now - record.last > FORGET_SECONDS:
            record = _Record()
        self._records[address] = record
        while len(self._records) > _ADDRESSES_MAX:
            self._records.popitem(last=False)
        return record


class TooManyWrong(Busy):
    retry_after = int(LONGEST_SECONDS)
