"""Images of a day: what is made is counted, what is refused or fails is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.access.callers import Caller, caller
from app.access.limits import Limits, TooMany
from app.engine.clock import Clock
from app.engine.pool import EnginePool
from app.engine.ticket import Cut, DeadlineExceeded, Disconnected
from app.generate.samples import SeedRange
from app.metrics import Metrics
from app.models.catalog import Catalog
from library.errors import Busy
from library.settings import Settings
from tests.test_queue import FORM, loaded
from tests.valkey import Server
from worker.connection import counting_client

LOADED = loaded(0)  # batches of at most 4
ANN = Caller("0123abcd", "ann", "generate", "key", "127.0.0.1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("v")) as running:
        yield running


class Day:
    """A pool without engines, and how many images its one caller has left of 100."""

    def __init__(self, folder: Path, url: str | None) -> None:
        settings = Settings(data_dir=folder, images_a_day=100, queue_images=8, device="cpu")
        self.limits = Limits(settings, counting_client(url) if url else None)
        self.pool = EnginePool(settings, Catalog(settings.models), Metrics(), self.limits)
        self.pool.clock = Clock(asyncio.get_running_loop())
        caller.set(ANN)

    async def left(self) -> int:
        _, (_, told) = await self.limits.images(ANN, 0)
        return int(told.split(b";")[1].removeprefix(b"r="))

    async def turn(
        self, images: int, error: BaseException | None = None, drawn: bool = True
    ) -> None:
        """A turn of which the engines take a batch, and that then meets an error."""
        async with self.pool.turn(LOADED.version, images) as turn:
            turn.begin(LOADED, SeedRange(0, images, None), 1.0, FORM)
            if drawn:
                self.pool.queue.take(0)
            if error is not None:
                raise error


async def through_a_day(day: Day) -> None:
    pool, limits = day.pool, day.limits
    await day.turn(8)
    assert await day.left() == 92
    pool.queue.reserve(8)
    for paid in (0, 5):  # five were counted before, when a filter looked at them
        await limits.images(ANN, paid)
        with pytest.raises(Busy):
            async with pool.turn(LOADED.version, 5, paid=paid):
                raise AssertionError("there was no room")
        assert await day.left() == 92
    pool.queue.release(8)
    for failed in (DeadlineExceeded("late"), RuntimeError("an engine's")):
        with pytest.raises(type(failed)):
            await day.turn(6, failed)
        assert await day.left() == 92
    left = 92
    for gone in (Disconnected(), Cut(), asyncio.CancelledError()):
        with pytest.raises(type(gone)):
            await day.turn(6, gone, drawn=False)
        assert await day.left() == left
        with pytest.raises(type(gone)):
            await day.turn(6, gone)  # of which a batch is drawn already
        left -= 4
        assert await day.left() == left
    with pytest.raises(TooMany, match=f"{left} of 100 are left"):
        await day.turn(left + 1)
    assert await day.left() == left
    await limits.give_back(ANN, 1000)  # more than was counted
    assert await day.left() == 100
    assert (pool.queue.images, pool.turns) == (0, 0)
    await limits.aclose()


def test_what_is_refused_or_fails_is_given_back(server: Server, tmp_path: Path) -> None:
    async def days() -> None:
        for url in (None, server.url):
            await through_a_day(Day(tmp_path, url))

    asyncio.run(days())
