"""When a call is tried again, never where that could change what is made, and until when."""

from __future__ import annotations

import math
import random
import time

FIRST_PATIENCE = 1.0  # s: until somebody has answered once, a wrong address is the likelier reason
PATIENCE = 120.0  # s: a service that has answered restarts, or its machine does
_DELAYS = (0.1, 0.3, 1.0, 2.0, 5.0)  # s, then the last


class Deadline:
    """Until when somebody waits for the end of `what`: so many seconds, None for ever."""

    def __init__(self, what: str, seconds: float | None) -> None:
        self._what = what
        self._until = math.inf if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise TimeoutError once it is past."""
        if time.monotonic() >= self._until:
            raise TimeoutError(f"{self._what} has not ended yet; it goes on.")

    def at_most(self, seconds: float) -> float:
        """So many seconds, or what is left if that is less."""
        return max(0.0, min(seconds, self._until - time.monotonic()))


class Attempts:
    """How long to wait before each new attempt, within a patience in seconds and a deadline."""

    def __init__(self, patience: float, deadline: Deadline | None = None) -> None:
        self._until = time.monotonic() + patience
        self._deadline = deadline or Deadline("", None)
        self._made = 0

    def next_delay(self, least: float | None = None) -> float | None:
        """Seconds to wait, at least `least` (a Retry-After); None: patience is at its end.

        Raises TimeoutError past the deadline.
        """
        self._deadline.check()
        spread = random.uniform(0.8, 1.2)  # nosec B311  # noqa: S311  spreads clients, no secret
        delay = _DELAYS[min(self._made, len(_DELAYS) - 1)] * spread
        delay = max(delay, least or 0.0)
        self._made += 1
        if time.monotonic() + delay > self._until:
            return None
        return self._deadline.at_most(delay)
