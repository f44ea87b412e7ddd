"""One device's thread: take what is queued, sample it, encode it, wake the event loop once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.engine.queue import FairQueue, Part
from app.engine.ticket import Ticket
from app.formats.encoding import Encoded, Encoder
from app.metrics import Metrics
from library.identity import Identity

logger = logging.getLogger("synthorax.engine")

_MOST = 4096  # images a batch; the version's own bound is lower

Made = list[tuple[Ticket, int, bytes]]  # a ticket, images, what they are in its answer


class Engine:
    """The thread of device number `index`."""

    def __init__(
        self, index: int, queue: FairQueue, metrics: Metrics, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._index = index
        self._queue = queue
        self._metrics = metrics
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name=f"engine-{index}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, which comes when the queue is closed and empty."""
        self._thread.join()

    def _run(self) -> None:
        while parts := self._queue.take(self._index, _MOST):
            started = time.monotonic()
            try:
                made = self._make(parts)
            except Exception as error:  # a failed batch ends its requests, never the engine
                logger.exception("a batch failed")
                self._loop.call_soon_threadsafe(_fail, parts, error)
            else:
                self._loop.call_soon_threadsafe(_deliver, made)
            self._queue.done(parts, time.monotonic() - started)

    def _make(self, parts: list[Part]) -> Made:
        began = time.perf_counter()
        loaded = parts[0].ticket.loaded
        sampler = loaded.samplers[self._index]
        seeds: list[int] = []
        labels: list[int | None] = []
        for part in parts:
            some_seeds, some_labels = part.ticket.samples.part(part.start, part.stop)
            seeds += some_seeds
            labels += some_labels
        classes = sampler.classes(seeds, labels)
        levels = sampler.levels(seeds, classes, _truncations(parts))
        sampled = time.perf_counter()

        names = loaded.version.labels
        identities = []
        at = 0
        for part in parts:
            origin, stop = part.ticket.origin, at + part.stop - part.start
            for i in range(at, stop):
                label = names[classes[i]] if names else None
                identities.append(Identity(origin, label, seeds[i]))
            at = stop
        files = _encode(parts, levels, identities)
        made = []
        at = 0
        for part in parts:
            stop = at + part.stop - part.start
            encoded = Encoded(part.start, identities[at:stop], levels[at:stop], files[at:stop])
            made.append((part.ticket, stop - at, part.ticket.form.chunk(encoded)))
            at = stop
        self._metrics.batch(loaded.version, classes, sampled - began, time.perf_counter() - sampled)
        return made


def _truncations(parts: list[Part]) -> float | NDArray[np.float32]:
    """One truncation for all, or one for each image of the batch."""
    first = parts[0].ticket.truncation
    if all(part.ticket.truncation == first for part in parts):
        return first
    counts = [part.stop - part.start for part in parts]
    return np.repeat(np.array([part.ticket.truncation for part in parts], np.float32), counts)


def _encode(
    parts: list[Part], levels: NDArray[np.uint8], identities: list[Identity]
) -> Sequence[bytes]:
    """The files of a batch: one call an encoder, for all its images."""
    encoders = {part.ticket.form.encode for part in parts}
    if len(encoders) == 1:
        return encoders.pop()(levels, identities)
    places: dict[Encoder, list[int]] = {}
    at = 0
    for part in parts:
        stop = at + part.stop - part.start
        places.setdefault(part.ticket.form.encode, []).extend(range(at, stop))
        at = stop
    files = [b""] * len(levels)
    for encoder, indices in places.items():
        chosen = encoder(levels[indices], [identities[i] for i in indices])
        for i, file in zip(indices, chosen, strict=True):
            files[i] = file
    return files


def _deliver(made: Made) -> None:
    for ticket, images, chunk in made:
        ticket.deliver(images, chunk)


def _fail(parts: list[Part], error: Exception) -> None:
    for part in parts:
        part.ticket.fail(error)
