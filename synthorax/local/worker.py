"""synthorax worker: one more worker of a service."""

from __future__ import annotations

import subprocess
import sys

from synthorax.local.floors import installed


def work(queue: str) -> int:
    """Run `python -m worker QUEUE` until it is stopped; its exit status."""
    installed("worker")
    try:
        return subprocess.run([sys.executable, "-m", "worker", queue]).returncode
    except KeyboardInterrupt:
        return 0  # it had the signal too, and has ended a job at its checkpoint
