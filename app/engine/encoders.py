"""Encoder processes: where a fast engine leaves encoding as the larger share of an image.

Encoding is Python with short calls of C, and one process does one image at a time; a graphics card
makes more than that.  The event loop talks to them through pipes, without threads, which would
contend with it for Python's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import groupby

from app.engine.batch import Batch
from library.identity import Origin

logger = logging.getLogger("synthorax.engine")

_LIMIT = 2**24  # bytes that are read ahead of us
_LOST = (OSError, EOFError)  # what a pipe raises whose other end is gone
_FIELDS = tuple(field.name for field in fields(Origin))

Done = Callable[[Batch], None]


class Encoders:
    """Processes, each with its batches in order; a batch goes to the one with the least to do."""

    def __init__(self, processes: int, done: Done) -> None:
        self._processes = [_Process(done) for _ in range(processes)]

    def submit(self, batch: Batch) -> None:
        """Encode a batch of one format; `done` is called on the event loop."""
        min(self._processes, key=lambda process: process.waiting).submit(batch)

    async def stop(self) -> None:
        for process in self._processes:
            await process.stop()


class _Process:
    """One encoder; when it dies it is started again, and its batches are encoded here."""

    def __init__(self, done: Done) -> None:
        self._done = done
        self._sent: asyncio.Queue[Batch] = asyncio.Queue()
        self._process: asyncio.subprocess.Process | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.waiting = 0

    def submit(self, batch: Batch) -> None:
        self.waiting += 1
        if self._process is not None:
            self._send(self._process, batch)
        self._sent.put_nowait(batch)

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._end()

    async def _run(self) -> None:
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app.formats.encoder"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LIMIT,
            )
            unsent = self._sent.qsize()  # came while there was no process
            for _ in range(unsent):
                batch = self._sent.get_nowait()
                self._send(self._process, batch)
                self._sent.put_nowait(batch)
            try:
                await self._answers(self._process)
            except _LOST:
                logger.warning("an encoder ended and is started again")
                await self._end()
                while not self._sent.empty():
                    self._encoded_here(self._sent.get_nowait())

    async def _answers(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            batch = await self._sent.get()
            try:
                lengths = array("I")
                lengths.frombytes(await process.stdout.readexactly(4 * batch.images))
                content = await process.stdout.readexactly(sum(lengths))
            except _LOST:
                self._encoded_here(batch)
                raise
            files, at = [], 0
            for length in lengths:
                files.append(content[at : at + length])
                at += length
            batch.put(files)
            self._finish(batch)

    def _encoded_here(self, batch: Batch) -> None:
        try:
            batch.encode()
        except Exception as error:
            logger.exception("a batch failed")
            batch.error = error
        self._finish(batch)

    def _finish(self, batch: Batch) -> None:
        self.waiting -= 1
        self._done(batch)

    def _send(self, process: asyncio.subprocess.Process, batch: Batch) -> None:
        assert process.stdin is not None
        # The reader meets it too; uvloop raises RuntimeError for a pipe that it has closed.
        with contextlib.suppress(*_LOST, RuntimeError):
            process.stdin.writelines((_request(batch), batch.levels.tobytes()))

    async def _end(self) -> None:
        """The process ends with its stdin."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _request(batch: Batch) -> bytes:
    """What `app.formats.encoder` reads: a line of JSON."""
    assert batch.file_format is not None
    parts: list[Sequence[object]] = []
    for origin, some in groupby(batch.identities, key=lambda identity: identity.origin):
        images = list(some)
        facts = [getattr(origin, name) for name in _FIELDS]
        parts.append((facts, [i.label for i in images], [i.seed for i in images]))
    asked = {"format": batch.file_format.name, "shape": batch.levels.shape, "parts": parts}
    return json.dumps(asked).encode() + b"\n"
