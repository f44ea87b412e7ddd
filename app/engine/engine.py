"""The engines: a thread a device that samples, fed by the event loop.

The event loop forms batches, draws latents and encodes small pictures; the thread runs the
generator, with Python's lock free.  Two threads that both run Python hand the lock over at every
system call, which costs more than the work (docs/performance.md).  One wake-up a batch each way.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from queue import SimpleQueue

from app.engine.batch import Batch
from app.engine.queue import FairQueue
from app.metrics import Metrics

logger = logging.getLogger("synthorax.engine")

_DEPTH = 2  # batches an engine is given: one at work, one to go on with at once


class Engine:
    """One device: its thread, and how many batches it has."""

    def __init__(self, index: int, engines: Engines) -> None:
        self.index = index
        self.given = 0
        self.work: SimpleQueue[Batch | None] = SimpleQueue()
        self._engines = engines
        self._thread = threading.Thread(target=self._run, name=f"engine-{index}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self.work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self.work.get()) is not None:
            try:
                batch.sample(self.index)
                if not batch.light:
                    batch.encode()
            except Exception as error:  # a failed batch ends its requests, never the engine
                logger.exception("a batch failed")
                batch.error = error
            self._engines.made(self, batch)


class Engines:
    """All devices, on one queue."""

    def __init__(self, devices: int, queue: FairQueue, metrics: Metrics) -> None:
        self._queue = queue
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._engines = [Engine(index, self) for index in range(devices)]
        self._called = False
        queue.changed = self._call

    def made(self, engine: Engine, batch: Batch) -> None:
        """From an engine's thread: the one wake-up of the event loop."""
        self._loop.call_soon_threadsafe(self._finish, engine, batch)

    async def stop(self) -> None:
        """End the threads after what they were given."""
        for engine in self._engines:
            await asyncio.to_thread(engine.join)

    def _call(self) -> None:
        """Feed the engines when all requests that have just come are queued: so they share a
        batch, and nobody waits for it."""
        if not self._called:
            self._called = True
            self._loop.call_soon(self._feed)

    def _feed(self) -> None:
        self._called = False
        while True:
            engine = min(self._engines, key=lambda each: each.given)
            if engine.given >= _DEPTH or not (parts := self._queue.take(engine.index)):
                return
            batch = Batch(parts)
            engine.given += 1
            try:
                batch.prepare()
            except Exception as error:
                logger.exception("a batch failed")
                batch.error = error
                self._loop.call_soon(self._finish, engine, batch)
            else:
                engine.work.put(batch)

    def _finish(self, engine: Engine, batch: Batch) -> None:
        engine.given -= 1
        self._queue.done(batch.parts, time.monotonic() - batch.began)
        self._feed()  # the engine goes on while this batch is encoded
        if batch.error is None and not batch.encoded:
            try:
                batch.encode()
            except Exception as error:
                logger.exception("a batch failed")
                batch.error = error
        batch.deliver()
        if batch.error is None:
            self._metrics.batch(batch.loaded.version, batch.classes, *batch.seconds)
