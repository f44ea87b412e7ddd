"""One batch on its way: drawn on the event loop, sampled by an engine, encoded, delivered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.engine.loaded import Loaded
from app.engine.queue import Part
from app.engine.ticket import Placed
from app.formats.encoding import Encoded, FileFormat
from library.identity import Identity

_LIGHT_PIXELS = 2**18  # 64 images of 64 x 64: about a millisecond of encoding


class Batch:
    """Parts of one version.  `prepare`, then `sample`, then `encode`, then `deliver`."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.loaded: Loaded = parts[0].ticket.loaded
        self.error: Exception | None = None
        self.classes: list[int] = []
        self.began = time.monotonic()
        self.forward_seconds = 0.0
        self.encode_seconds = 0.0
        self.made = False
        self.levels: NDArray[np.uint8]  # once it is sampled
        self._seeds: list[int] = []
        self._z: NDArray[np.float32]
        self._files: Sequence[bytes] = ()

    @property
    def images(self) -> int:
        return len(self._seeds)

    def prepare(self) -> None:
        """Draw latents: many small calls of numpy, for which threads would only contend."""
        labels: list[int | None] = []
        for part in self.parts:
            seeds, some = part.ticket.samples.part(part.start, part.stop)
            self._seeds += seeds
            labels += some
        sampler = self.loaded.samplers[0]
        self.classes = sampler.classes(self._seeds, labels)
        self._z = sampler.latents(self._seeds, _truncations(self.parts))
        at = 0
        for part in self.parts:
            stop = at + part.stop - part.start
            if isinstance(part.ticket.samples, Placed):
                self._z[at:stop] = part.ticket.samples.latents(part.start, part.stop)
            at = stop

    @property
    def expected_seconds(self) -> float:
        """What the generator will take, at most."""
        return self.images * self.loaded.samplers[0].seconds

    def sample(self, device: int) -> None:
        """The generator: where the time goes, and where Python's lock is free."""
        began = time.perf_counter()
        self.levels = self.loaded.samplers[device].levels_of(self._z, self.classes)
        self.forward_seconds = time.perf_counter() - began

    @property
    def light(self) -> bool:
        """Encoding takes so little that the event loop does it: a thread's hand-over costs more."""
        formats = (part.ticket.form.format for part in self.parts)
        pixels = self.images * self.loaded.version.resolution**2
        return pixels <= _LIGHT_PIXELS and all(f is None or f.light for f in formats)

    @property
    def file_format(self) -> FileFormat | None:
        """The one format of all files; None where there are none, or several formats."""
        formats = {part.ticket.form.format for part in self.parts}
        return formats.pop() if len(formats) == 1 else None

    def encode(self) -> None:
        """The files of all images, one call a format."""
        began = time.perf_counter()
        if (file_format := self.file_format) is not None:
            self._files = file_format.encoder()(self.levels, self.identities)
        else:
            self._files = self._encode_each()
        self.encode_seconds = time.perf_counter() - began
        self.made = True

    def put(self, files: Sequence[bytes]) -> None:
        """The files of all images, encoded elsewhere."""
        self._files = files
        self.encode_seconds = time.monotonic() - self.began - self.forward_seconds
        self.made = True

    @cached_property
    def identities(self) -> list[Identity]:
        """What each image is."""
        names = self.loaded.version.labels
        found = []
        at = 0
        for part in self.parts:
            origin, stop = part.ticket.origin, at + part.stop - part.start
            for i in range(at, stop):
                label = names[self.classes[i]] if names else None
                found.append(Identity(origin, label, self._seeds[i]))
            at = stop
        return found

    def _encode_each(self) -> list[bytes]:
        places: dict[FileFormat, list[int]] = {}
        at = 0
        for part in self.parts:
            stop = at + part.stop - part.start
            if part.ticket.form.format is not None:
                places.setdefault(part.ticket.form.format, []).extend(range(at, stop))
            at = stop
        files = [b""] * self.images
        for file_format, indices in places.items():
            identities = [self.identities[i] for i in indices]
            made = file_format.encoder()(self.levels[indices], identities)
            for i, file in zip(indices, made, strict=True):
                files[i] = file
        return files

    def deliver(self) -> None:
        """Give each ticket its images as they are in its answer, or the error that was met."""
        if self.error is not None:
            for part in self.parts:
                part.ticket.fail(self.error)
            return
        at = 0
        for part in self.parts:
            stop = at + part.stop - part.start
            if not part.ticket.ended:
                encoded = Encoded(
                    part.start,
                    self.identities[at:stop],
                    self.levels[at:stop],
                    self._files[at:stop],
                )
                try:
                    part.ticket.deliver(stop - at, part.ticket.form.chunk(encoded))
                except Exception as error:
                    part.ticket.fail(error)
            at = stop


def _truncations(parts: list[Part]) -> float | NDArray[np.float32]:
    """One truncation for all, or one for each image of the batch."""
    first = parts[0].ticket.truncation
    if all(part.ticket.truncation == first for part in parts):
        return first
    counts = [part.stop - part.start for part in parts]
    return np.repeat(np.array([part.ticket.truncation for part in parts], np.float32), counts)
