"""Trainer and evaluation as children: lines of JSON out, stdin as their lifeline, and wishes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from library import logs
from library.memory import tree_bytes
from worker import counts
from worker.echo import Echo

ROOT = Path(__file__).resolve().parent.parent
WORDS_BYTES = 8192  # of the child's stderr, kept for the error message
LOG_BYTES_MAX, LOG_BYTES_KEPT = 2**20, 2**16  # of trainer.log, cut when an attempt begins
MEMORY_SECONDS = 5.0  # between two looks at how much the child has
RESUMABLE = 75  # exit status: a checkpoint is written, run again to go on
FOLDER_BUSY = 76  # exit status: another trainer is still at work in the run folder


class ChildProcess:
    """A program that tells events on stdout, a line of JSON each; its events, and its end.

    It leads a process group of its own.  Closing its stdin (or dying) asks it to end with
    RESUMABLE.
    """

    kind = "evaluation"  # as it is counted

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self._measured_at = -math.inf
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        _cut(log)
        self._echo = Echo(log)
        with open(log, "ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={**os.environ, **logs.for_child(), **environment, "PYTHONPATH": str(ROOT)},
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor alone
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()
        self._stopping_since: float | None = None
        self._wishes: set[str] = set()
        self._counted = False

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
        self._echo.more()
        if time.monotonic() - self._measured_at >= MEMORY_SECONDS:
            self._measured_at = time.monotonic()
            counts.put("synthorax_child_memory_bytes", tree_bytes(self.pid), child=self.kind)
        return found

    def ended(self) -> int | None:
        """The exit status once the process has ended and every event was taken, else None."""
        if self._process.poll() is None:
            return None
        self.kill()  # what it started ends with it, and lets go of its stdout
        if self._reader.is_alive() or not self._events.empty():
            return None
        return self._process.returncode

    def stop(self, grace: float) -> None:
        """Ask for an end; after `grace` seconds of asking, kill."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        elif time.monotonic() - self._stopping_since > grace:
            self.kill()

    def wish(self, word: str) -> None:
        """A line on its stdin, once; what the child does with it is its own."""
        if word in self._wishes:
            return
        self._wishes.add(word)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has just ended
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it and every process of its group, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Leave nothing of it behind: no process, no open pipe."""
        self.kill()
        self._count(self._process.wait())
        self._echo.more()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _count(self, code: int) -> None:
        if not self._counted:
            counts.add("synthorax_child_exits_total", child=self.kind, code=str(code))
            counts.forget()
        self._counted = True

    def last_words(self) -> str:
        """The end of the child's stderr."""
        with open(self._log, "rb") as file:
            file.seek(max(0, self._log.stat().st_size - WORDS_BYTES))
            return file.read().decode(errors="replace").strip()

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                # A library that prints to stdout must not end the run.
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and "type" in event:
                        self._events.put(event)


class TrainerProcess(ChildProcess):
    """`python -m training run REQUEST --lifeline`: an end comes after a checkpoint."""

    kind = "trainer"

    def __init__(
        self, request: Path, log: Path, environment: Mapping[str, str], processes: int = 1
    ) -> None:
        command = [sys.executable, "-m", "training", "run", str(request), "--lifeline"]
        if processes > 1:
            command += ["--processes", str(processes)]
        super().__init__(command, log, environment)

    def finish(self) -> None:
        """Ask for an end after this epoch, and for a version of what there is then."""
        self.wish("finish")


def _cut(log: Path) -> None:
    """Keep the end of a log that has grown long over many attempts."""
    with contextlib.suppress(FileNotFoundError):
        size = log.stat().st_size
        if size > LOG_BYTES_MAX:
            with open(log, "r+b") as file:
                file.seek(size - LOG_BYTES_KEPT)
                end = file.read()
                file.seek(0)
                file.write(end)
                file.truncate()


def batch_that_fits(request: Path, environment: Mapping[str, str], megabytes: int) -> int | None:
    """The largest batch size that the memory holds, measured by `python -m training fit`.

    megabytes: the limit (MiB), 0: the machine's.  0: nothing fits; None: it cannot be told.
    """
    command = [sys.executable, "-m", "training", "fit", str(request)]
    if megabytes:
        command += ["--memory-mb", str(megabytes)]
    try:
        answer = subprocess.run(
            command, cwd=ROOT,
            env={**os.environ, **logs.for_child(), **environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=True,
        )  # fmt: skip
        told = json.loads(answer.stdout.splitlines()[-1])
        return int(told["batch_size"] or 0) if told.get("measured", True) else None
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError):
        return None
