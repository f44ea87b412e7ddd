"""A request's turn at the engines: room in the queue first, then a ticket, then its images."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.types import Receive

from app.access.limits import Headers
from app.engine.loaded import Loaded
from app.engine.ticket import DeadlineExceeded, Disconnected, Samples, Ticket
from app.formats.encoding import Form

if TYPE_CHECKING:
    from app.engine.pool import EnginePool


class Turn:
    """A context: when it ends, with an error or without, what is not made is let go."""

    def __init__(self, pool: EnginePool, images: int, room: int) -> None:
        self.quota: Headers = []  # that tell how many images the caller has left
        self._pool = pool
        self._queue = pool.queue
        self._images, self._room = images, room
        self._ticket: Ticket | None = None
        self._watch: asyncio.Task[None] | None = None
        self._receive: Receive | None = None
        self.closed = False

    def begin(
        self,
        loaded: Loaded,
        samples: Samples,
        truncation: float,
        form: Form,
        receive: Receive | None = None,
    ) -> None:
        """Queue the request; `receive` tells when its client leaves."""
        self._receive = receive
        loop = self._pool.clock.loop  # asking asyncio for it is a system call
        deadline = self._pool.deadline_seconds
        self._ticket = Ticket(loaded, samples, truncation, form, self._room, deadline, loop)
        self._queue.put(self._ticket)
        self._pool.clock.watch(self)

    def next(self) -> Awaitable[tuple[int, bytes] | None]:
        """The next images, and what they are in the answer; None after the last.

        Raises DeadlineExceeded, Disconnected, or what the engine met.
        """
        assert self._ticket is not None
        if self._ticket.parked:
            self._queue.resume(self._ticket)
        return self._ticket.next()

    @property
    def all_taken(self) -> bool:
        assert self._ticket is not None
        return self._ticket.consumed == self._ticket.total

    @property
    def undrawn(self) -> int:
        """Images that no engine has been given."""
        return self._images if self._ticket is None else self._ticket.total - self._ticket.taken

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.closed = True
        self._pool.turns -= 1
        if self._watch is not None:
            self._watch.cancel()
        if self._ticket is None:
            self._queue.release(self._room)
        else:
            self._ticket.close()
            self._queue.drop(self._ticket, _reason(error))

    def slow(self) -> None:
        """Quick answers are spared this: watch the deadline, and the connection."""
        assert self._ticket is not None
        self._ticket.start_clock()
        if self._receive is not None:
            watching = self._until_gone(self._receive, self._ticket)
            self._watch = asyncio.get_running_loop().create_task(watching)

    async def _until_gone(self, receive: Receive, ticket: Ticket) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        ticket.fail(Disconnected())


def _reason(error: BaseException | None) -> str:
    match error:
        case DeadlineExceeded():
            return "expired"
        case Disconnected():
            return "disconnected"
        case asyncio.CancelledError():
            return "cancelled"
    return "failed"
