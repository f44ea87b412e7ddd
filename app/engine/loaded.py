"""A version in memory, on every device, ready to sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from app.engine.backend import LoadBackend, resident_bytes
from app.engine.sampler import Sampler
from library.errors import Unavailable
from library.identity import Origin
from library.versions import Version

_ORIGINS_MAX = 64


@dataclass(eq=False)
class Loaded:
    """One sampler a device; all give the same bits."""

    version: Version
    samplers: tuple[Sampler, ...]
    memory_bytes: int
    _origins: dict[float, Origin] = field(default_factory=dict)

    @property
    def engine_digest(self) -> str:
        return self.samplers[0].digest

    @property
    def batch_max(self) -> int:
        return self.samplers[0].batch_max

    def origin(self, truncation: float) -> Origin:
        """What samples of this version at a truncation share."""
        origin = self._origins.get(truncation)
        if origin is None:
            if len(self._origins) >= _ORIGINS_MAX:
                self._origins.clear()
            backend = self.samplers[0].backend
            origin = Origin(
                model=self.version.reference,
                version_digest=self.version.digest,
                engine_digest=self.engine_digest,
                backend=backend.name,
                precision=backend.precision,
                truncation=truncation,
            )
            self._origins[truncation] = origin
        return origin


def load(version: Version, devices: tuple[str, ...], load_backend: LoadBackend) -> Loaded:
    """Compare the files with their digests, load on each device, warm, and run the self-check.

    Raises Unusable, Unavailable or NotReproducible.
    """
    version.verify()
    before = resident_bytes()
    samplers = tuple(Sampler(version, load_backend(version, device)) for device in devices)
    first = samplers[0]
    for device, sampler in zip(devices[1:], samplers[1:], strict=True):
        if sampler.digest != first.digest or not np.array_equal(sampler.checked, first.checked):
            raise Unavailable(
                f"{devices[0]} and {device} do not give the same bits, so that a sample would "
                "depend on the device that makes it.",
                field="SYNTHORAX_DEVICE",
                value=",".join(devices),
                remedy="Use cards of one kind, or one service for each kind.",
            )
    # The weights at least, where the system does not tell or memory was reused: both files hold
    # them in float16, so together they are as large as in float32.
    weights = sum(file["bytes"] for file in version.card["files"].values())
    return Loaded(version, samplers, max(resident_bytes() - before, weights))
