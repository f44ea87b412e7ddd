"""Loaded versions and the one thread that samples from them."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.engine.sampler import Sampler, load_sampler
from library.errors import Busy, NotFound, SynthoraxError
from library.settings import Settings
from library.versions import ModelLibrary, Version

T = TypeVar("T")


class EnginePool:
    """Samplers by version digest, least recently used out; work in order, bounded in images."""

    def __init__(self, settings: Settings, library: ModelLibrary) -> None:
        self._settings = settings
        self._library = library
        self._thread = ThreadPoolExecutor(1, "engine")
        self._samplers: OrderedDict[str, Sampler] = OrderedDict()
        self._images = 0
        self._lock = threading.Lock()
        self.problem: str | None = None  # why the active version is not loaded

    def start(self) -> None:
        """Begin to load the active version; `ready` tells when it is there."""
        self._thread.submit(self._load_active)

    def stop(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def ready(self) -> bool:
        return bool(self._samplers)

    def loaded(self) -> list[Sampler]:
        return list(self._samplers.values())

    async def work(self, version: Version, images: int, task: Callable[[Sampler], T]) -> T:
        """Run `task` with the version's sampler on the engine's thread.

        Raises Busy when more images wait than the bound, and what loading raises.
        """
        with self._lock:
            if self._images and self._images + images > self._settings.queue_images:
                raise Busy(
                    f"{self._images} images are waiting; the bound is "
                    f"{self._settings.queue_images}.",
                    remedy="Try again in a second.",
                )
            self._images += images
        future = self._thread.submit(lambda: task(self._sampler(version)))
        future.add_done_callback(lambda _: self._done(images))
        return await asyncio.wrap_future(future)

    def _done(self, images: int) -> None:
        with self._lock:
            self._images -= images

    def _sampler(self, version: Version) -> Sampler:
        sampler = self._samplers.get(version.digest)
        if sampler is None:
            sampler = load_sampler(version, self._settings.device)
            self._samplers[version.digest] = sampler
            while len(self._samplers) > self._settings.loaded_versions:
                self._samplers.popitem(last=False)
        self._samplers.move_to_end(version.digest)
        return sampler

    def _load_active(self) -> None:
        try:
            self._sampler(self._library.find(None))
            self.problem = None
        except NotFound as error:
            self.problem = error.detail
        except SynthoraxError as error:
            self.problem = str(error)
