"""The engines: a thread a device that samples, fed by the event loop.

The event loop forms batches, draws latents and encodes small pictures; the thread runs the
generator, with Python's lock free.  Two threads that both run Python hand the lock over at every
system call, which costs more than the work (docs/performance.md).  One wake-up a batch each way,
and none where the generator takes less than two.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from queue import SimpleQueue

from app.engine import spans
from app.engine.batch import Batch
from app.engine.encoders import Encoders
from app.engine.queue import FairQueue
from app.metrics import Metrics
from worker import tracing

logger = logging.getLogger("synthorax.engine")

_DEPTH = 2  # batches an engine is given: one at work, one to go on with at once
_FEW_IMAGES = 8
_AT_ONCE_SECONDS = 0.002  # a generator that takes less is run where the request is


class Engine:
    """One device: its thread, and its batches in the order in which they are delivered."""

    def __init__(self, index: int, engines: Engines) -> None:
        self.index = index
        self.given: deque[Batch] = deque()
        self.put = 0  # batches that the thread was given; changed by the event loop alone
        self.sampled = 0  # that it has sampled; changed by the thread alone
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
                try:
                    batch.sample(self.index)
                finally:
                    self.sampled += 1
                self._engines.sampled(batch)
            except Exception as error:  # a failed batch ends its requests, never the engine
                self._engines.failed(batch, error)


class Engines:
    """All devices, on one queue."""

    def __init__(
        self, devices: int, queue: FairQueue, metrics: Metrics, encoder_processes: int
    ) -> None:
        self._queue = queue
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._encoders: Encoders | None = None
        if encoder_processes:
            self._encoders = Encoders(encoder_processes, self._encoded)
        self._depth = _DEPTH + encoder_processes
        self._engines = [Engine(index, self) for index in range(devices)]
        self._called = False
        queue.changed = self._call

    async def stop(self) -> None:
        """End the threads after what they were given."""
        for engine in self._engines:
            await asyncio.to_thread(engine.join)
        if self._encoders is not None:
            await self._encoders.stop()

    def sampled(self, batch: Batch) -> None:
        """On an engine's thread.  Large pictures and slow formats are encoded there."""
        if not batch.light and not self._in_a_process(batch):
            batch.encode()
        self._loop.call_soon_threadsafe(self._finish, batch)

    def failed(self, batch: Batch, error: Exception) -> None:
        """On an engine's thread: the batch's requests will get the error."""
        logger.error("a batch failed", exc_info=error)
        batch.error = error
        self._loop.call_soon_threadsafe(self._finish, batch)

    def _call(self) -> None:
        """Feed the engines when all requests that have just come are queued: so they share a
        batch, and nobody waits for it."""
        if not self._called:
            self._called = True
            self._loop.call_soon(self._feed)

    def _in_a_process(self, batch: Batch) -> bool:
        """Whether a process encodes the batch: not a few small pictures, for which the way there
        and back takes longer."""
        if self._encoders is None or batch.file_format is None:
            return False
        return not batch.light or batch.images > _FEW_IMAGES

    def _feed(self) -> None:
        self._called = False
        while (given := self._next()) is not None:
            if self._begin(*given):
                # Sampled here; before the next one the event loop has its turn.
                self._call()
                return

    def _next(self) -> tuple[Engine, Batch] | None:
        """The next batch, for the engine with the least to do that may have it."""
        for engine in sorted(self._engines, key=lambda each: len(each.given)):
            if len(engine.given) < self._depth and (parts := self._queue.take(engine.index)):
                batch = Batch(parts)
                engine.given.append(batch)
                return engine, batch
        return None

    def _begin(self, engine: Engine, batch: Batch) -> bool:
        """Give a batch to its engine; True when it was quick enough to be sampled at once."""
        try:
            batch.prepare()
            idle = engine.put == engine.sampled
            quick = batch.expected_seconds <= _AT_ONCE_SECONDS
            if not (idle and quick and (batch.light or self._in_a_process(batch))):
                engine.put += 1
                engine.work.put(batch)
                return False
            batch.sample(engine.index)
        except Exception as error:
            logger.exception("a batch failed")
            batch.error = error
        self._finish(batch)
        return True

    def _finish(self, batch: Batch) -> None:
        """A batch is sampled, and encoded if that was not left to the event loop."""
        self._call()  # the engine goes on while this batch is encoded
        if batch.error is None and not batch.made:
            if self._encoders is not None and self._in_a_process(batch):
                self._encoders.submit(batch)
                return
            try:
                batch.encode()
            except Exception as error:
                logger.exception("a batch failed")
                batch.error = error
        self._encoded(batch)

    def _encoded(self, batch: Batch) -> None:
        """Deliver what is ready, in order: encoders may overtake each other."""
        batch.made = True
        for engine in self._engines:
            while engine.given and engine.given[0].made:
                self._deliver(engine.given.popleft())

    def _deliver(self, batch: Batch) -> None:
        # Only now may another engine go on with these tickets: images come in order.
        self._queue.done(batch.parts, time.monotonic() - batch.began)
        self._call()
        batch.deliver()
        if batch.error is None:
            self._metrics.batch(batch)
            if tracing.is_on():
                spans.trace(batch)
