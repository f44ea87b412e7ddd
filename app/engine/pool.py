"""The versions in memory, the one served by default, and the engines that sample them."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from prometheus_client.core import Metric

from app.access.callers import caller
from app.access.limits import Limits
from app.engine.backend import LoadBackend, backend_loader, devices, encoder_processes
from app.engine.clock import Clock
from app.engine.engine import Engines
from app.engine.loaded import Loaded, load
from app.engine.queue import FairQueue
from app.engine.ticket import Cut, DeadlineExceeded, Disconnected
from app.engine.turn import Turn
from app.metrics import Metrics, counter, gauge
from app.models.catalog import Catalog
from library.errors import NotFound, SynthoraxError
from library.settings import Settings
from library.versions import Version

logger = logging.getLogger("synthorax.engine")

WATCH_SECONDS = 1.0  # how often the choice of the active version is looked at
_AHEAD = 4  # batches that a streamed answer may be ahead of its reader


class EnginePool:
    """Lives on the event loop; loading has a thread of its own, and so has each device."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        metrics: Metrics,
        limits: Limits,
        load_backend: LoadBackend | None = None,
    ) -> None:
        self.devices = devices(settings)
        self.queue = FairQueue(settings.queue_images)
        self.default: Loaded | None = None
        self.problem: str | None = None  # why the active version is not the one served
        self._settings = settings
        self._catalog = catalog
        self._limits = limits
        self.metrics = metrics
        self._load_backend = load_backend or backend_loader(settings)
        # The least recently used first.
        self._loaded: OrderedDict[tuple[str, str], Loaded] = OrderedDict()
        self._loading: dict[tuple[str, str], asyncio.Task[Loaded]] = {}
        self._loader = ThreadPoolExecutor(1, "loader")
        self._engines: Engines | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._refused = ("", "")  # the active version that could not be loaded
        self.draining = False
        self.turns = 0  # requests under way
        self.deadline_seconds = settings.deadline_seconds
        self._choosing = asyncio.Lock()  # one choice of the default at a time
        self.clock: Clock  # from `start` on
        metrics.collect(self._families)

    def start(self) -> None:
        """Start the engines, and begin to load the active version."""
        self.clock = Clock(asyncio.get_running_loop())
        processes = encoder_processes(self._settings, self.devices)
        self._engines = Engines(len(self.devices), self.queue, self.metrics, processes)
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def drain(self) -> None:
        """Not ready from now on: what is under way goes on, nothing new is admitted."""
        self.draining = True
        self.queue.refuse()

    async def stop(self) -> None:
        """End the engines after what they are making."""
        self.drain()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._engines is not None:
            await self._engines.stop()
        self._loader.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        return bool(self._loaded) and not self.draining

    def loaded(self) -> list[Loaded]:
        return list(self._loaded.values())

    def find(self, reference: str | None) -> Version:
        """The version that a request means; None: the one served by default, once it is loaded.

        Raises NotFound or Unusable.
        """
        if reference is None and self.default is not None:
            return self.default.version
        return self._catalog.find(reference)

    async def found(self, reference: str | None) -> Version:
        """As `find`, and what other machines have published a moment ago."""
        try:
            return self.find(reference)
        except NotFound:
            return await asyncio.to_thread(self._catalog.find_anywhere, reference)

    def with_digest(self, digest: str, reference: str) -> Version:
        """The version of a digest, by preference the one of this reference.  Raises NotFound."""
        found = [
            version
            for version in self._catalog.versions()
            if isinstance(version, Version) and version.digest == digest
        ]
        for version in found:
            if version.reference == reference:
                return version
        if found:
            return found[0]
        raise NotFound(f"No version here has the weights that the file names ({digest[:12]}…).")

    def now(self, version: Version) -> Loaded | None:
        """The version, if it is in memory."""
        key = _key(version)
        loaded = self._loaded.get(key)
        if loaded is not None:
            self._loaded.move_to_end(key)
        return loaded

    async def ensure(self, version: Version) -> Loaded:
        """The version in memory, loaded now if it is not.

        Raises DeadlineExceeded when that takes too long, and what loading raises.
        """
        if (loaded := self.now(version)) is not None:
            return loaded
        deadline = self.deadline_seconds
        try:
            # Shielded: others wait for it too, and the next request will find it loaded.
            return await asyncio.wait_for(asyncio.shield(self._load(version)), deadline)
        except TimeoutError:
            raise DeadlineExceeded(
                f"{version.reference} was not loaded within {deadline} s.",
                field="model",
                value=version.reference,
                remedy="Try again: it is being loaded.",
            ) from None

    @asynccontextmanager
    async def turn(
        self, version: Version, images: int, streamed: bool = False, paid: int = 0
    ) -> AsyncIterator[Turn]:
        """Room in the queue for a request, then images of its caller's day: all that engines draw
        is counted here.  What fails is given back; of what its client leaves, what is not drawn.

        A streamed answer is made a few batches ahead of its reader.  `paid`: images of this answer
        that were counted before.  Raises Busy, TooMany, or Unavailable when the service is
        stopping.
        """
        who, before = caller.get(), paid
        try:
            with self._room(version, images, streamed) as turn:
                turn.quota = await self._limits.images(who, images - before)
                paid = images
                yield turn
        except (Disconnected, Cut, asyncio.CancelledError):
            await self._limits.give_back(who, min(paid - before, turn.undrawn))
            raise
        except Exception:
            await self._limits.give_back(who, paid)
            raise

    def _room(self, version: Version, images: int, streamed: bool) -> Turn:
        room = min(images, _AHEAD * self._batch_max(version)) if streamed else images
        self.queue.reserve(room)
        self.turns += 1
        return Turn(self, images, room)

    async def activate(self, reference: str) -> Version:
        """Serve a version by default, once it is loaded, warm and checked.

        Raises what loading raises; the version served before then goes on being served.
        """
        version = await self.found(reference)
        loaded = await self._load(version)
        async with self._choosing:
            await asyncio.to_thread(self._catalog.activate, version.reference)
            self._serve(loaded)
        return version

    def _load(self, version: Version) -> asyncio.Task[Loaded]:
        """The one task that loads a version."""
        key = _key(version)
        task = self._loading.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load_now(version))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
            # An error that nobody waits for any longer is no news.
            task.add_done_callback(lambda t: None if t.cancelled() else t.exception())
        return task

    async def _load_now(self, version: Version) -> Loaded:
        key = _key(version)
        if key not in self._loaded:
            began = time.monotonic()
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(
                self._loader, load, version, self.devices, self._load_backend
            )
            self._loaded[key] = loaded
            # What is here now stays: a full collection would stop all requests for a while.
            gc.collect()
            gc.freeze()
            logger.info("loaded %s in %.2f s", version.reference, time.monotonic() - began)
        self._loaded.move_to_end(key)
        self._evict(keep=key)
        return self._loaded[key]

    def _evict(self, keep: tuple[str, str]) -> None:
        """Let go of the least recently used versions beyond the memory that they may take.

        What is being sampled stays in memory until its requests have ended.
        """
        budget = self._settings.model_memory_mb * 2**20
        for key in list(self._loaded):
            if sum(loaded.memory_bytes for loaded in self._loaded.values()) <= budget:
                return
            if key != keep and self._loaded[key] is not self.default:
                del self._loaded[key]

    def _serve(self, loaded: Loaded) -> None:
        self.default = loaded
        self.problem = None
        self._refused = ("", "")
        self._evict(keep=_key(loaded.version))  # the one before is no longer kept

    async def _watch(self) -> None:
        """Follow the choice of the active version, whoever makes it."""
        while True:
            try:
                # Under the lock: an older choice must not undo one that is made meanwhile.
                async with self._choosing:
                    await self._follow()
            except SynthoraxError as error:
                if self.problem is None:
                    logger.warning("the active version is not served: %s", error)
                self.problem = str(error)
            except Exception:  # the watcher must outlive whatever it met
                logger.exception("the active version could not be loaded")
                self.problem = "The active version could not be loaded; the log says why."
            await asyncio.sleep(WATCH_SECONDS)

    async def _follow(self) -> None:
        """Serve the active version, unless it is served or was refused already."""
        active = await asyncio.to_thread(self._catalog.find, None)
        wanted = _key(active)
        served = self.default is not None and _key(self.default.version) == wanted
        if not served and wanted != self._refused:
            self._refused = wanted
            self._serve(await self._load(active))

    def _batch_max(self, version: Version) -> int:
        loaded = self._loaded.get(_key(version))
        return loaded.batch_max if loaded is not None else 16

    def _families(self) -> Iterator[Metric]:
        queue = self.queue
        yield gauge("synthorax_queue_images", "Images that wait", {(): queue.images}, ())
        yield gauge("synthorax_queue_requests", "Requests that wait", {(): queue.requests}, ())
        yield gauge("synthorax_queue_bound_images", "That may wait", {(): queue.bound}, ())
        refused = "Requests refused because the queue was full (503)"
        yield counter("synthorax_queue_refusals", refused, {(): queue.refused}, ())
        yield gauge("synthorax_ready", "1: images can be had", {(): float(self.ready)}, ())
        dropped = {(reason,): count for reason, count in queue.dropped.items()}
        yield counter("synthorax_dropped_images", "Images never computed", dropped, ("reason",))
        memory = {(v.version.reference,): v.memory_bytes for v in self.loaded()}
        yield gauge("synthorax_version_memory_bytes", "Memory of a version", memory, ("model",))
        engines = {}
        for loaded in self.loaded():
            sampler = loaded.samplers[0]
            backend, proof = sampler.backend, sampler.proof
            engines[
                loaded.version.reference, backend.name, backend.precision, sampler.digest,
                str(backend.software["device"]), ",".join(map(str, proof.sizes)),
            ] = float(proof.exact)  # fmt: skip
        yield gauge(
            "synthorax_engine_exact",
            "1: every batch size agreed with batch 1 in the self-check; 0: batches are padded",
            engines,
            ("model", "backend", "precision", "engine", "device", "sizes"),
        )


def _key(version: Version) -> tuple[str, str]:
    return version.reference, version.digest
