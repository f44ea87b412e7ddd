"""A request's turn at the engines: room in the queue first, then a ticket, then its images."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.types import Receive

from app.engine.loaded import Loaded
from app.engine.ticket import DeadlineExceeded, Disconnected, Samples, Ticket
from app.formats.encoding import Form

if TYPE_CHECKING:
    from app.engine.pool import EnginePool


class Turn:
    """Must be closed, with the error that ended it if one did."""

    def __init__(self, pool: EnginePool, room: int, deadline: float) -> None:
        self._pool = pool
        self._queue = pool.queue
        self._room = room
        self._deadline = deadline
        self._ticket: Ticket | None = None
        self._watch: asyncio.Task[None] | None = None

    def begin(
        self,
        loaded: Loaded,
        samples: Samples,
        truncation: float,
        form: Form,
        receive: Receive | None = None,
    ) -> None:
        """Queue the request; `receive` tells when its client leaves."""

        def slow() -> None:
            if receive is not None:
                self._watch = asyncio.get_running_loop().create_task(self._until_gone(receive))

        self._ticket = Ticket(loaded, samples, truncation, form, self._room, self._deadline, slow)
        self._queue.put(self._ticket)

    async def next(self) -> tuple[int, bytes] | None:
        """The next images, and what they are in the answer; None after the last.

        Raises DeadlineExceeded, Disconnected, or what the engine met.
        """
        ticket = self._ticket
        assert ticket is not None
        if ticket.parked:
            self._queue.resume(ticket)
        made = await ticket.next()
        if made is not None and ticket.consumed == made[0]:
            self._pool.metrics.waited(time.monotonic() - ticket.started)
        return made

    def close(self, error: BaseException | None = None) -> None:
        """Let go of what is not made."""
        self._pool.turns -= 1
        if self._watch is not None:
            self._watch.cancel()
        if self._ticket is None:
            self._queue.release(self._room)
        else:
            self._ticket.close()
            self._queue.drop(self._ticket, _reason(error))

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        assert self._ticket is not None
        self._ticket.fail(Disconnected())


def _reason(error: BaseException | None) -> str:
    match error:
        case DeadlineExceeded():
            return "expired"
        case Disconnected():
            return "disconnected"
        case asyncio.CancelledError():
            return "cancelled"
    return "failed"
