"""How many CPUs this process may use."""

from __future__ import annotations

import os


def available() -> int:
    """The CPUs that the scheduler grants us (Linux), or all (macOS has no such bound)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
