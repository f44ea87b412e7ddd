"""When a call is tried again: never where that could change what is made."""

from __future__ import annotations

import random
import time

FIRST_PATIENCE = 1.0  # s: until somebody has answered once, a wrong address is the likelier reason
PATIENCE = 120.0  # s: a service that has answered restarts, or its machine does
_DELAYS = (0.1, 0.3, 1.0, 2.0, 5.0)  # s, then the last


class Attempts:
    """How long to wait before each new attempt, within a patience in seconds."""

    def __init__(self, patience: float) -> None:
        self._until = time.monotonic() + patience
        self._made = 0

    def next_delay(self, least: float | None = None) -> float | None:
        """Seconds to wait, at least `least` (a Retry-After); None: patience is at its end."""
        spread = random.uniform(0.8, 1.2)  # nosec B311  # noqa: S311  spreads clients, no secret
        delay = _DELAYS[min(self._made, len(_DELAYS) - 1)] * spread
        delay = max(delay, least or 0.0)
        self._made += 1
        return None if time.monotonic() + delay > self._until else delay
