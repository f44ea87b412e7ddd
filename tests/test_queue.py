"""The fair queue with real tickets: what is taken, in whose turn, and what is held for whom."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.engine.engine import Engines
from app.engine.loaded import Loaded
from app.engine.queue import FairQueue, Part
from app.engine.sampler import Sampler
from app.engine.ticket import DeadlineExceeded, Ticket
from app.formats.encoding import Encoded, FileFormat, Form
from app.formats.npy import NpyForm
from app.generate.samples import SeedRange
from app.metrics import Metrics
from library.errors import Busy, Unavailable
from library.identity import Identity
from library.versions import Version

FORM = NpyForm(1, 2)
ENGINES = 2
REASONS = ("expired", "disconnected", "cancelled", "failed")


class Constant:
    """A backend that only has sizes."""

    name, precision = "fake", "float32"

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.software: dict[str, Any] = {"device": "none"}
        self.sizes = sizes

    def warm(self) -> None: ...

    def outputs(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        assert len(z) == len(label)
        return np.zeros((len(z), 2, 2), np.float32)

    def levels(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.outputs(z, label).astype(np.uint8)


@cache
def loaded(number: int) -> Loaded:
    """Versions with batches of at most 4, 6 and 1."""
    card = {
        "digest": f"{number}" * 64,
        "architecture": {"latent_dim": 1},
        "resolution": 2,
        "labels": [],
        "label_frequencies": [],
        "files": {},
    }
    version = Version("fake", number + 1, Path("nowhere"), card)
    sizes = ((1, 4), (1, 6), (1,))[number]
    return Loaded(version, tuple(Sampler(version, Constant(sizes)) for _ in range(ENGINES)), 0)


def ticket_of(
    total: int, window: int = 0, version: int = 0, deadline: float = 1e6, form: Form = FORM
) -> Ticket:
    samples = SeedRange(0, total, None)
    loop = asyncio.get_running_loop()
    return Ticket(loaded(version), samples, 1.0, form, window or total, deadline, loop)


def queued(queue: FairQueue, *totals: int) -> list[Ticket]:
    tickets = [ticket_of(total) for total in totals]
    for ticket in tickets:
        queue.reserve(ticket.reserved)
        queue.put(ticket)
    return tickets


def ranges(parts: list[Part], of: list[Ticket]) -> list[tuple[int, int, int]]:
    return [(of.index(part.ticket), part.start, part.stop) for part in parts]


class World:
    """A queue, its engines and its readers, one step at a time; every step keeps the laws."""

    def __init__(self, bound: int) -> None:
        self.queue = FairQueue(bound)
        self.tickets: list[Ticket] = []  # whose requests are under way
        self.engines: list[deque[list[Part]]] = [deque() for _ in range(ENGINES)]
        self.read: dict[Ticket, int] = {}
        self.ready: Counter[Ticket] = Counter()  # parts delivered and not read
        self.dropped: Counter[str] = Counter()

    def put(self, total: int, window: int, version: int) -> None:
        room, before = min(total, window), self.queue.images
        try:
            self.queue.reserve(room)
        except Busy as busy:
            seconds = busy.retry_after
            assert seconds >= 1
            assert before
            assert before + room > self.queue.bound
            assert self.queue.images == before
            self.dropped["refused"] += room
            return
        assert before == 0 or before + room <= self.queue.bound
        ticket = ticket_of(total, room, version)
        assert ticket.reserved == room
        self.queue.put(ticket)
        self.tickets.append(ticket)
        self.read[ticket] = 0

    def take(self, engine: int) -> int:
        elsewhere = {
            part.ticket
            for other, batches in enumerate(self.engines)
            for batch in batches
            for part in batch
            if other != engine
        }
        taken = {ticket: ticket.taken for ticket in self.tickets}
        parts = self.queue.take(engine)
        if not parts:
            return 0
        images = 0
        for part in parts:
            ticket = part.ticket
            assert ticket in taken, "its request has ended"
            assert ticket not in elsewhere
            assert ticket.loaded is parts[0].ticket.loaded
            # Exactly once and in order; never beyond what may be made ahead of the reader.
            assert part.start == taken[ticket]
            assert part.start < part.stop <= min(ticket.total, self.read[ticket] + ticket.window)
            taken[ticket] = part.stop
            images += part.stop - part.start
        assert images <= parts[0].ticket.loaded.batch_max
        self.engines[engine].append(parts)
        return images

    def done(self, engine: int) -> None:
        if self.engines[engine]:
            parts = self.engines[engine].popleft()
            self.queue.done(parts, 0.1)
            for part in parts:
                part.ticket.deliver(part.stop - part.start, b"%d" % part.start)
                self.ready[part.ticket] += 1

    async def reads(self, ticket: Ticket) -> None:
        """As a turn does: back into the queue first, then what is there."""
        if ticket.parked:
            self.queue.resume(ticket)
        if self.ready[ticket]:
            made = await ticket.next()
            assert made is not None
            assert made[1] == b"%d" % self.read[ticket]
            self.read[ticket] += made[0]
            self.ready[ticket] -= 1
        elif self.read[ticket] == ticket.total:
            assert await ticket.next() is None
            self.end(ticket, "failed")

    def end(self, ticket: Ticket, reason: str) -> None:
        self.tickets.remove(ticket)
        self.dropped[reason] += ticket.total - ticket.taken
        self.queue.drop(ticket, reason)
        self.queue.drop(ticket, "failed")  # once is enough
        ticket.close()

    def check(self) -> None:
        assert 0 <= self.queue.images == sum(ticket.reserved for ticket in self.tickets)
        for ticket in self.tickets:
            # Who waits for a reader holds no room: a slow one must keep nobody out.
            held = 0 if ticket.parked else min(ticket.total - ticket.taken, ticket.window)
            assert ticket.reserved == held
        assert +self.queue.dropped == +self.dropped

    async def finish(self) -> None:
        """With engines that work and readers that read, every request ends."""
        # Each round makes or reads an image, or ends a request.
        for _ in range(2 * sum(ticket.total + 1 for ticket in self.tickets) + 1):
            for engine in range(ENGINES):
                self.take(engine)
                self.done(engine)
            for ticket in list(self.tickets):
                await self.reads(ticket)
            self.check()
        assert not self.tickets
        assert self.queue.images == 0
        while any(self.engines):
            for engine in range(ENGINES):
                self.done(engine)
        assert [self.queue.take(engine) for engine in range(ENGINES)] == [[]] * ENGINES
        assert self.queue.requests == 0


Step = tuple[Any, ...]
indices = st.integers(0, 20)
engines = st.integers(0, ENGINES - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 15), st.integers(1, 20), st.integers(0, 2)),
        st.tuples(st.just("take"), engines),
        st.tuples(st.just("take"), engines),
        st.tuples(st.just("done"), engines),
        st.tuples(st.just("read"), indices),
        st.tuples(st.just("drop"), indices, st.sampled_from(REASONS)),
    ),
    max_size=60,
)


async def run(world: World, sequence: list[Step]) -> None:
    for kind, *values in sequence:
        if kind == "put":
            world.put(*values)
        elif kind == "take":
            world.take(*values)
        elif kind == "done":
            world.done(*values)
        elif world.tickets:
            ticket = world.tickets[values[0] % len(world.tickets)]
            if kind == "read":
                await world.reads(ticket)
            else:
                world.end(ticket, values[1])
        world.check()
    await world.finish()


@settings(max_examples=400)
@given(bound=st.integers(1, 40), sequence=steps)
def test_the_laws_of_the_queue(bound: int, sequence: list[Step]) -> None:
    asyncio.run(run(World(bound), sequence))


def with_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Tickets need a running event loop."""

    def wrapped() -> None:
        asyncio.run(test())

    wrapped.__doc__ = test.__doc__
    return wrapped


@settings(max_examples=200)
@given(
    waiting=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 2)), max_size=6),
    under_way=st.integers(0, 4),
    small=st.integers(1, 4),
    version=st.integers(0, 2),
)
def test_a_small_request_waits_at_most_one_batch_of_each_before_it(
    waiting: list[tuple[int, int]], under_way: int, small: int, version: int
) -> None:
    async def test() -> None:
        queue = FairQueue(10**6)
        tickets = [ticket_of(total, version=number) for total, number in waiting]
        for ticket in tickets:
            queue.reserve(ticket.reserved)
            queue.put(ticket)
        for _ in range(under_way):
            queue.take(0)
        left = sum(ticket.taken < ticket.total for ticket in tickets)
        late = ticket_of(small, version=version)
        queue.reserve(small)
        queue.put(late)
        first: list[Ticket] = []  # of each batch before; others may share its room
        for _ in range(left + 1):
            parts = queue.take(0)
            if late.taken:
                break
            first.append(parts[0].ticket)
        assert late.taken
        assert len(set(first)) == len(first)

    asyncio.run(test())


@with_a_loop
async def test_requests_share_a_batch_and_large_ones_take_turns() -> None:
    queue = FairQueue(100)
    tickets = queued(queue, 2, 9, 1, 3)
    assert ranges(queue.take(0), tickets) == [(0, 0, 2), (1, 0, 2)]
    assert ranges(queue.take(0), tickets) == [(2, 0, 1), (3, 0, 3)]
    assert ranges(queue.take(0), tickets) == [(1, 2, 6)]
    assert ranges(queue.take(0), tickets) == [(1, 6, 9)]
    assert queue.take(0) == []


@with_a_loop
async def test_the_bound_is_kept_and_one_larger_request_is_admitted_alone() -> None:
    queue = FairQueue(10)
    (large,) = queued(queue, 25)
    with pytest.raises(Busy) as refused:
        queue.reserve(1)
    assert refused.value.status == 503
    assert refused.value.retry_after >= 1
    queue.drop(large, "cancelled")
    assert queue.images == 0
    queue.reserve(10)
    with pytest.raises(Busy):
        queue.reserve(1)
    queue.release(10)
    queue.reserve(10)
    assert queue.dropped == {"refused": 2, "cancelled": 25}


@with_a_loop
async def test_retry_after_follows_the_speed() -> None:
    queue = FairQueue(100)
    queued(queue, 4, 100 - 4)
    queue.done(queue.take(0), seconds=1.0)  # 4 images a second, and 96 wait
    with pytest.raises(Busy) as refused:
        queue.reserve(5)
    assert refused.value.retry_after == 24


@with_a_loop
async def test_a_ticket_at_work_is_left_to_its_engine() -> None:
    queue = FairQueue(100)
    tickets = queued(queue, 12, 1)
    first = queue.take(0)
    assert ranges(queue.take(1), tickets) == [(1, 0, 1)]
    assert queue.take(1) == []
    second = queue.take(0)
    queue.done(first, 0.1)
    assert queue.take(1) == []
    queue.done(second, 0.1)
    assert ranges(queue.take(1), tickets) == [(0, 8, 12)]


@with_a_loop
async def test_a_streamed_request_waits_for_its_reader() -> None:
    queue = FairQueue(100)
    ticket = ticket_of(10, window=4)
    queue.reserve(4)
    queue.put(ticket)
    for start in (0, 4, 8):
        parts = queue.take(0)
        assert ranges(parts, [ticket]) == [(0, start, min(start + 4, 10))]
        assert ticket.parked == (start < 8)
        assert queue.images == 0  # it waits for its reader, or all is taken
        assert queue.take(0) == []
        queue.done(parts, 0.1)
        ticket.deliver(parts[0].stop - start, b"x")
        assert await ticket.next() == (parts[0].stop - start, b"x")
        queue.resume(ticket)
        assert queue.images == min(10 - parts[0].stop, 4)
    assert await ticket.next() is None


@with_a_loop
async def test_no_engine_is_given_nothing() -> None:
    """A reader may ask again while all that may be made ahead of it is still being made."""
    queue = FairQueue(100)
    ticket = ticket_of(10, window=4)
    queue.reserve(4)
    queue.put(ticket)
    parts = queue.take(0)
    queue.resume(ticket)
    assert queue.take(0) == []
    # It is not forgotten: when its images have come and are read, it goes on.
    queue.done(parts, 0.1)
    ticket.deliver(4, b"x")
    assert await ticket.next() == (4, b"x")
    queue.resume(ticket)
    assert ranges(queue.take(0), [ticket]) == [(0, 4, 8)]


@with_a_loop
async def test_a_stopping_queue_admits_nothing_and_goes_on() -> None:
    queue = FairQueue(100)
    tickets = queued(queue, 2)
    queue.refuse()
    with pytest.raises(Unavailable) as refused:
        queue.reserve(1)
    assert refused.value.status == 503
    assert ranges(queue.take(0), tickets) == [(0, 0, 2)]


@with_a_loop
async def test_what_waited_too_long_is_never_computed() -> None:
    queue = FairQueue(100)
    late = ticket_of(7, deadline=0)
    queue.reserve(7)
    queue.put(late)
    tickets = queued(queue, 3)
    reader = asyncio.create_task(late.next())
    await asyncio.sleep(0)
    assert ranges(queue.take(0), tickets) == [(0, 0, 3)]
    with pytest.raises(DeadlineExceeded) as expired:
        await reader
    assert expired.value.status == 504
    queue.drop(late, "failed")  # as its request ends: counted once
    assert queue.dropped == {"expired": 7}
    assert queue.images == 0


@with_a_loop
async def test_an_error_reaches_the_reader_before_what_is_made() -> None:
    ticket = ticket_of(4)
    ticket.deliver(2, b"x")
    ticket.fail(ValueError("first"))
    ticket.fail(ValueError("second"))
    with pytest.raises(ValueError, match="first"):
        await ticket.next()


@with_a_loop
async def test_the_engines_are_told_of_what_comes() -> None:
    queue, told = FairQueue(100), []
    queue.changed = lambda: told.append(queue.requests)
    queued(queue, 3, 3)
    assert told == [1, 2]


# With real engines

entered = {name: threading.Event() for name in ("first", "second")}
may_go_on = {name: threading.Event() for name in ("first", "second")}


def first(levels: NDArray[np.uint8], _: Sequence[Identity]) -> list[bytes]:
    """An encoder that takes as long as a test wants."""
    entered["first"].set()
    may_go_on["first"].wait()
    return [b""] * len(levels)


def second(levels: NDArray[np.uint8], _: Sequence[Identity]) -> list[bytes]:
    entered["second"].set()
    may_go_on["second"].wait()
    return [b""] * len(levels)


class Starts:
    """The form whose parts are the indices of their first images."""

    def __init__(self, encoder: str = "") -> None:
        slow = FileFormat(encoder, "image/x", "x", __name__, encoder, light=False)
        self.format = slow if encoder else None

    def chunk(self, part: Encoded) -> bytes:
        return b"%d" % part.start


@with_a_loop
async def test_parts_come_in_order_while_two_engines_encode() -> None:
    """Both engines encode for others; the one that took a part first is ready last."""
    queue = FairQueue(100)
    made = Engines(ENGINES, queue, Metrics(), 0)

    def put(total: int, version: int, encoder: str = "") -> Ticket:
        ticket = ticket_of(total, version=version, form=Starts(encoder))
        queue.reserve(total)
        queue.put(ticket)
        return ticket

    try:
        others = {"first": put(1, 0, "first"), "second": put(1, 1, "second")}
        for event in entered.values():
            await asyncio.to_thread(event.wait)
        ticket = put(4, 2)
        for name in ("second", "first"):
            await asyncio.sleep(0.05)  # the engines take what they can
            may_go_on[name].set()
            assert await others[name].next() == (1, b"0")
        parts = []
        while (part := await ticket.next()) is not None:
            parts.append(part)
        assert parts == [(1, b"%d" % i) for i in range(4)]
    finally:
        for event in may_go_on.values():
            event.set()
        await made.stop()


@with_a_loop
async def test_a_quick_engine_leaves_the_event_loop_its_turn() -> None:
    """A request that comes while a large one is made is not kept out until that has ended."""
    queue = FairQueue(10**6)
    made = Engines(1, queue, Metrics(), 0)
    try:
        (large,) = queued(queue, 4000)
        assert await large.next() is not None
        (small,) = queued(queue, 1)
        assert await small.next() is not None
        assert large.taken < large.total
        queue.drop(large, "cancelled")
    finally:
        await made.stop()
