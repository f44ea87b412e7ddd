"""Requests that wait for an engine: bounded in images, fair between requests.

A request is a ticket of any number of images.  An engine takes what is there, at most a batch, and
never waits for more; a ticket with images left goes to the end of the queue, so that a large
request takes turns with small ones.  Everything here happens on the event loop.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from app.engine.ticket import Ticket
from library.errors import Busy, Unavailable

_SHARES, _SHARE_MIN = 2, 16


class Part(NamedTuple):
    """Images start … stop - 1 of a ticket."""

    ticket: Ticket
    start: int
    stop: int


class FairQueue:
    """Tickets in turn."""

    def __init__(self, bound: int) -> None:
        self.bound = bound  # images
        self.images = 0  # reserved: waiting, or waiting for their version to be loaded
        self.refused = 0  # requests: there was no room
        self.dropped: Counter[str] = Counter()  # images that were never computed, by reason
        self.changed: Callable[[], None] = lambda: None  # called when there is something to take
        self._tickets: deque[Ticket] = deque()
        self._refusing = False
        self._rate = 0.0  # images a second, lately

    def reserve(self, images: int) -> None:
        """Take room for a request.  Raises Busy when it would pass the bound.

        A request larger than the bound is admitted when nothing else waits.
        """
        if self._refusing:
            raise Unavailable(
                "The service is stopping.", remedy="Try again: another one may take over."
            )
        if self.images and self.images + images > self.bound:
            self.refused += 1
            self.dropped["refused"] += images
            error = Busy(
                f"{self.images} images are waiting; the bound is {self.bound}.",
                remedy="Try again later, as Retry-After says.",
            )
            error.retry_after = self._seconds_to_drain()
            raise error
        self.images += images

    def release(self, images: int) -> None:
        """Give room back that was reserved for a request that never became a ticket."""
        self.images -= images

    def put(self, ticket: Ticket) -> None:
        """Queue a ticket, for which `ticket.reserved` images of room were taken."""
        self._tickets.append(ticket)
        self.changed()

    def resume(self, ticket: Ticket) -> None:
        """Queue a ticket again whose reader has taken what was made."""
        if ticket.parked and ticket.room > 0 and not ticket.ended:
            ticket.parked = False
            ticket.restart_clock()
            self._keep_room(ticket)
            self.put(ticket)

    def drop(self, ticket: Ticket, reason: str) -> None:
        """Forget a ticket: what is not taken yet is never computed."""
        if ticket.ended:
            return
        ticket.ended = True
        if ticket.taken < ticket.total:
            self.dropped[reason] += ticket.total - ticket.taken
        self.images -= ticket.reserved
        ticket.reserved = 0

    def take(self, engine: int) -> list[Part]:
        """The next batch: parts of one version, at most its batch, in the order of the queue."""
        now = time.monotonic()
        parts: list[Part] = []
        passed: list[Ticket] = []  # of another version, or at work on another engine
        again: list[Ticket] = []
        # A share of what waits, so that one batch is sampled while another one is encoded and sent.
        share = max(_SHARE_MIN, -(-self.images // _SHARES))
        room = 1
        while self._tickets and room > 0:
            ticket = self._tickets.popleft()
            if ticket.ended:
                continue
            if now >= ticket.expires:
                ticket.expire()
                self.drop(ticket, "expired")
                continue
            other_version = parts and ticket.loaded is not parts[0].ticket.loaded
            if other_version or (ticket.in_flight and ticket.engine != engine):
                passed.append(ticket)
                continue
            if not parts:
                room = min(ticket.loaded.batch_max, share)
            images = min(room, ticket.room)
            parts.append(Part(ticket, ticket.taken, ticket.taken + images))
            room -= images
            ticket.taken += images
            ticket.in_flight += 1
            ticket.engine = engine
            ticket.parked = ticket.taken < ticket.total and not ticket.room
            if ticket.room:
                again.append(ticket)
            self._keep_room(ticket)
        self._tickets.extendleft(reversed(passed))
        self._tickets.extend(again)
        return parts

    def done(self, parts: list[Part], seconds: float) -> None:
        """A batch was made in so many seconds: its tickets may go to any engine."""
        images = 0
        for part in parts:
            part.ticket.in_flight -= 1
            images += part.stop - part.start
        rate = images / max(seconds, 1e-6)
        self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate

    def refuse(self) -> None:
        """Admit nothing more; what is queued goes on."""
        self._refusing = True

    @property
    def requests(self) -> int:
        return sum(not ticket.ended for ticket in self._tickets)

    def _keep_room(self, ticket: Ticket) -> None:
        """A ticket holds room for what can be taken of it at once.

        A parked one holds none: it waits for its reader, and a slow reader keeps nobody out.
        """
        wanted = 0 if ticket.parked else min(ticket.total - ticket.taken, ticket.window)
        self.images += wanted - ticket.reserved
        ticket.reserved = wanted

    def _seconds_to_drain(self) -> int:
        seconds = self.images / self._rate if self._rate else 1.0
        return int(min(max(seconds, 1.0), 60.0))
