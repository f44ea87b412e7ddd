"""One batch on its way: drawn on the event loop, sampled by an engine, encoded, delivered."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.engine.loaded import Loaded
from app.engine.queue import Part
from app.formats.encoding import Encoded, Encoder
from library.identity import Identity

_LIGHT_PIXELS = 2**18  # 64 images of 64 x 64: about a millisecond of encoding


class Batch:
    """Parts of one version.  `prepare`, then `sample`, then `encode`, then `deliver`."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.loaded: Loaded = parts[0].ticket.loaded
        self.error: Exception | None = None
        self.classes: list[int] = []
        self.seconds = [0.0, 0.0]  # forward, encoding
        self._seeds: list[int] = []
        self._z: NDArray[np.float32]
        self._levels: NDArray[np.uint8]
        self._chunks: list[bytes] = []
        self.began = time.monotonic()

    @property
    def encoded(self) -> bool:
        return bool(self._chunks)

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

    def sample(self, device: int) -> None:
        """The generator: where the time goes, and where Python's lock is free."""
        began = time.perf_counter()
        self._levels = self.loaded.samplers[device].levels_of(self._z, self.classes)
        self.seconds[0] = time.perf_counter() - began

    @property
    def light(self) -> bool:
        """Encoding takes so little that the event loop does it: a thread's hand-over costs more."""
        return self._levels.size <= _LIGHT_PIXELS and all(
            part.ticket.form.light for part in self.parts
        )

    def encode(self) -> None:
        """What each part is in its answer."""
        began = time.perf_counter()
        names = self.loaded.version.labels
        identities = []
        at = 0
        for part in self.parts:
            origin, stop = part.ticket.origin, at + part.stop - part.start
            for i in range(at, stop):
                label = names[self.classes[i]] if names else None
                identities.append(Identity(origin, label, self._seeds[i]))
            at = stop
        levels = self._levels
        files = _encode(self.parts, levels, identities)
        at = 0
        for part in self.parts:
            stop = at + part.stop - part.start
            encoded = Encoded(part.start, identities[at:stop], levels[at:stop], files[at:stop])
            self._chunks.append(part.ticket.form.chunk(encoded))
            at = stop
        self.seconds[1] = time.perf_counter() - began

    def deliver(self) -> None:
        """Wake whoever waits, with images or with the error that was met."""
        if self.error is not None:
            for part in self.parts:
                part.ticket.fail(self.error)
            return
        for part, chunk in zip(self.parts, self._chunks, strict=True):
            part.ticket.deliver(part.stop - part.start, chunk)


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
