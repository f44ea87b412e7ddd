"""One request in the engine: how far it is, and what has come of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.formats.encoding import Form
from library.errors import SynthoraxError
from worker import tracing

if TYPE_CHECKING:
    from app.engine.loaded import Loaded


class DeadlineExceeded(SynthoraxError):
    slug, title, status = "deadline-exceeded", "The request waited too long", 504


class Disconnected(Exception):
    """The client has left."""


class Cut(Exception):
    """An answer that has begun cannot be finished."""


class Samples(Protocol):
    """The samples of a request, in order."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> tuple[Sequence[int], Sequence[int | None]]:
        """Seeds and class indices (None: drawn from the seed) of samples start … stop - 1."""
        ...


@runtime_checkable
class Placed(Samples, Protocol):
    """Samples at latents of their own, not at those of their seeds."""

    def latents(self, start: int, stop: int) -> NDArray[np.float32]:
        """(stop - start, latent_dim), the truncation already in them."""
        ...


class Ticket:
    """What a request waits on.  Everything here happens on the event loop."""

    def __init__(
        self,
        loaded: Loaded,
        samples: Samples,
        truncation: float,
        form: Form,
        window: int,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`window`: images that may be made ahead of the reader."""
        self.loaded = loaded
        self.samples = samples
        self.total = len(samples)
        self.truncation = truncation
        self.origin = loaded.origin(truncation)
        self.form = form
        self.window = window
        self.reserved = min(self.total, window)
        self.taken = 0  # images given to an engine
        self.made = 0  # images that have come back
        self.consumed = 0  # images that the reader has taken
        self.engine = 0
        self.in_flight = 0  # parts at work on that engine
        self.parked = False
        self.ended = False  # dropped: the queue has forgotten it
        self.started = time.monotonic()
        self.traceparent = tracing.current()  # None: no spans are sent
        self.batches_traced = 0
        self.expires = self.started + deadline
        self._deadline = deadline
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._error: BaseException | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        """Images that may be taken now."""
        return min(self.total - self.taken, self.consumed + self.window - self.taken)

    def deliver(self, images: int, chunk: bytes) -> None:
        """A part is made."""
        self.made += images
        self.restart_clock()
        self._chunks.append((images, chunk))
        self._wake()

    def fail(self, error: BaseException) -> None:
        """The reader gets an error."""
        if self._error is None:
            self._error = error
        self._wake()

    def expire(self) -> None:
        """Nobody waits for this any longer."""
        self.fail(self._expiry())

    async def next(self) -> tuple[int, bytes] | None:
        """The next images and what they are in the answer; None after the last.

        Raises DeadlineExceeded, or what the engine met.
        """
        while True:
            if self._error is not None:
                raise self._error
            if self._chunks:
                images, chunk = self._chunks.popleft()
                self.consumed += images
                return images, chunk
            if self.made >= self.total:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter

    def restart_clock(self) -> None:
        """The reader was the slow one."""
        self.expires = time.monotonic() + self._deadline

    def start_clock(self) -> None:
        """From now on the deadline is watched while the request waits."""
        self._timer = self._loop.call_later(max(self.expires - time.monotonic(), 0), self._late)

    def close(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _late(self) -> None:
        """The deadline of the clock: pushed on while images come, and while the reader is slow."""
        now = time.monotonic()
        waiting = self._waiter is not None and not self._waiter.done()
        if not waiting or now < self.expires:
            after = max(self.expires - now, 0.05) if waiting else self._deadline
            self._timer = self._loop.call_later(after, self._late)
        else:
            self.fail(self._expiry())

    def _expiry(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"No image came within {self._deadline:g} s.",
            field="SYNTHORAX_DEADLINE_SECONDS",
            value=self._deadline,
            remedy="Try again when the service is less busy.",
        )
