"""synthorax worker: one more worker of a service."""

from __future__ import annotations

import subprocess
import sys

from synthorax.errors import SynthoraxError
from worker.queue import QUEUES


def work(queue: str) -> int:
    """Run `python -m worker QUEUE` until it is stopped; its exit status."""
    if queue not in QUEUES:
        raise SynthoraxError(f"There is no queue {queue!r}.", f"Name one of {', '.join(QUEUES)}.")
    try:
        return subprocess.run([sys.executable, "-m", "worker", queue], check=False).returncode
    except KeyboardInterrupt:
        return 0  # it had the signal too, and has ended a job at its checkpoint
