"""Encoder processes: where a fast engine leaves encoding as the larger share of an image.

Encoding is Python with short calls of C, and one process does one image at a time; a graphics card
makes more than that.  A thread a process waits for it with Python's lock free.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import groupby
from queue import SimpleQueue
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.formats.encoding import Encoder, FileFormat
from library.identity import Identity, Origin

logger = logging.getLogger("synthorax.engine")

_PIPE_BYTES = 1 << 20
Task = Callable[[Callable[[FileFormat], Encoder]], None]  # told where encoders are
Done = Callable[[Exception | None], None]


class Encoders:
    """Processes that take tasks as they are free."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._tasks: SimpleQueue[tuple[Task, Done] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"encoder-{i}", daemon=True)
            for i in range(processes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task, done: Done) -> None:
        """Call `task` on a thread with encoders that run in a process, then `done`."""
        self._tasks.put((task, done))

    def stop(self) -> None:
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        process = _Process()
        while (item := self._tasks.get()) is not None:
            task, done = item
            try:
                task(process.encoder_of)
            except Exception as error:
                done(error)
            else:
                done(None)
        process.stop()


class _Process:
    """One encoder; a dead one is started again, and its batch encoded here."""

    def __init__(self) -> None:
        self._start()

    def encoder_of(self, file_format: FileFormat) -> Encoder:
        def encode(levels: NDArray[np.uint8], identities: Sequence[Identity]) -> Sequence[bytes]:
            try:
                return self._ask(file_format.name, levels, identities)
            except (OSError, EOFError):
                logger.warning("an encoder ended and is started again")
                self.stop()
                self._start()
                return file_format.encoder()(levels, identities)

        return encode

    def _ask(
        self, name: str, levels: NDArray[np.uint8], identities: Sequence[Identity]
    ) -> list[bytes]:
        parts = []
        for origin, some in groupby(identities, key=lambda identity: identity.origin):
            images = list(some)
            parts.append([_fields(origin), [i.label for i in images], [i.seed for i in images]])
        asked = {"format": name, "shape": levels.shape, "parts": parts}
        self._requests.write(json.dumps(asked).encode() + b"\n" + levels.tobytes())
        self._requests.flush()
        lengths = array("I")
        lengths.frombytes(self._read(4 * len(levels)))
        content = self._read(sum(lengths))
        files, at = [], 0
        for length in lengths:
            files.append(content[at : at + length])
            at += length
        return files

    def _read(self, count: int) -> bytes:
        content = self._answers.read(count)
        if len(content) < count:
            raise EOFError
        return content

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.formats.encoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._answers: BinaryIO = self._process.stdout  # type: ignore[assignment]
        for pipe in (self._requests, self._answers):
            # A batch in one piece, where the system can (Linux).
            with contextlib.suppress(AttributeError, OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def stop(self) -> None:
        """End the process: it ends with its stdin."""
        with contextlib.suppress(OSError):
            self._requests.close()
        self._process.wait()
        self._answers.close()


def _fields(origin: Origin) -> list[str | float]:
    return [getattr(origin, field.name) for field in fields(origin)]
