"""The trainer as a child process: lines of JSON out, stdin as its lifeline."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
LOG_BYTES = 8192  # of the child's stderr, kept for the error message


class TrainerProcess:
    """`python -m training run REQUEST --lifeline`, its events, and its end.

    Closing its stdin (or dying) asks it to write a checkpoint and exit with 75.
    """

    def __init__(self, request: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with open(log, "ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "training", "run", str(request), "--lifeline"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor alone
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()
        self._stopping_since: float | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self, seconds: float) -> list[dict[str, Any]]:
        """The events that have come, waiting at most so long for the first."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._events.get(timeout=seconds))
            while True:
                found.append(self._events.get_nowait())
        return found

    def ended(self) -> int | None:
        """The exit status once the process has ended and every event was taken, else None."""
        if self._process.poll() is None or self._reader.is_alive() or not self._events.empty():
            return None
        return self._process.returncode

    def stop(self, grace: float) -> None:
        """Ask for a checkpoint and an end; after `grace` seconds of asking, kill."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        elif time.monotonic() - self._stopping_since > grace:
            self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The end of the child's stderr."""
        with open(self._log, "rb") as file:
            file.seek(max(0, self._log.stat().st_size - LOG_BYTES))
            return file.read().decode(errors="replace").strip()

    def _read(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            # A library that prints to stdout must not end the run.
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "type" in event:
                    self._events.put(event)
