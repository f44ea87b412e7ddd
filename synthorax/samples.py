"""A set of samples of a known size: a pure function of version, engine, counts and seed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from synthorax.errors import SynthoraxError
from synthorax.generating import SEED_MAX, check_engine
from synthorax.sample_cache import SampleCache

if TYPE_CHECKING:
    from synthorax._sync.client import Client
    from synthorax.batch import Batch

Counts = Mapping[str, int] | int
Images = NDArray[np.uint8]  # (n, H, W)
Targets = NDArray[np.int64]  # (n,), places in `classes`


@dataclass(frozen=True)
class Pinned:
    """What every image of a set is made by."""

    model: str  # name@version
    digest: str
    engine: str
    height: int
    width: int
    classes: tuple[str, ...]  # of the version; none for one distribution


class SampleSet:
    """`counts` samples: of each class, or of all classes as each seed draws them.

    Sample i has seed `seed` + i, whatever its class, and stays the same in any order, any number
    of processes and after any restart; the service's engine is checked at every answer
    (EngineChanged).  With `cache_dir` an image is asked for once and lies there from then on.

    classes: names, in the order of `counts`; a sample's target is its place in them.
    """

    def __init__(
        self,
        pinned: Pinned,
        counts: Counts,
        seed: int,
        truncation: float,
        connection: tuple[str, str | None, float],
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.pinned, self.seed, self.truncation = pinned, seed, truncation
        self.counts = None if isinstance(counts, int) else dict(counts)
        self.classes = list(pinned.classes if self.counts is None else self.counts)
        sizes = [counts] if isinstance(counts, int) else list(counts.values())
        if not sizes or min(sizes) < 0 or sum(sizes) < 1:
            raise SynthoraxError(f"counts is {counts!r}: give at least one image.")
        if not 0 <= seed <= SEED_MAX - sum(sizes) + 1:
            raise SynthoraxError(f"seed is {seed}: the last one would be past {SEED_MAX}.")
        self._ends = np.cumsum(sizes)
        self._connection = connection
        self._cache_dir = None if cache_dir is None else Path(cache_dir)
        self._client: Client | None = None
        self._process = 0
        self._cache: SampleCache | None = None

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        return f"<SampleSet of {len(self):,}: {self.counts or 'drawn'}, {self.pinned.model}>"

    @property
    def identity(self) -> dict[str, Any]:
        """What the pixels follow from."""
        return {
            "version_digest": self.pinned.digest,
            "engine_digest": self.pinned.engine,
            "model": self.pinned.model,
            "counts": len(self) if self.counts is None else self.counts,
            "seed": self.seed,
            "truncation": self.truncation,
        }

    @property
    def targets(self) -> list[int]:
        """The target of each sample; raises SynthoraxError where each seed draws its class."""
        if self.counts is None:
            raise SynthoraxError("The classes are drawn by the seeds: give counts of each class.")
        return [i for i, count in enumerate(self.counts.values()) for _ in range(count)]

    def item(self, index: int) -> tuple[str | None, int]:
        """Label (None: drawn) and seed of a sample."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = int(np.searchsorted(self._ends, index, side="right"))
        return None if self.counts is None else self.classes[place], self.seed + index

    def fetch(self, indices: Sequence[int]) -> tuple[Images, Targets]:
        """Images and targets of samples, in the order asked for: one request at most."""
        wanted = [int(index) for index in indices]
        cache = self._opened()
        if cache is None:
            return self._asked(wanted)
        images, targets, there = cache.read(wanted)
        missing = sorted({index for index, found in zip(wanted, there, strict=True) if not found})
        if missing:
            made = dict(zip(missing, zip(*self._asked(missing), strict=True), strict=True))
            cache.write(missing, [made[i][0] for i in missing], [made[i][1] for i in missing])
            for place, index in enumerate(wanted):
                if not there[place]:
                    images[place], targets[place] = made[index]
        return images, targets

    def batches(
        self, batch_size: int = 256, shuffle: int | None = None
    ) -> Iterator[tuple[Images, Targets]]:
        """All samples once, as NumPy arrays; `shuffle` is the seed of their order."""
        order = np.arange(len(self))
        if shuffle is not None:
            np.random.default_rng(shuffle).shuffle(order)
        for start in range(0, len(self), batch_size):
            yield self.fetch(order[start : start + batch_size].tolist())

    def batch(self, indices: Sequence[int]) -> Batch:
        """The same from the service, with what makes each one again."""
        return self._service().generate(
            items=[self.item(index) for index in indices],
            model=self.pinned.model,
            truncation=self.truncation,
        )

    def _asked(self, indices: list[int]) -> tuple[Images, Targets]:
        batch = self.batch(indices)
        check_engine((self.pinned.digest, self.pinned.engine), batch.origin)
        places = {name: place for place, name in enumerate(self.classes)}
        targets = [places.get(label or "", 0) for label in batch.labels]
        return batch.images, np.array(targets, np.int64)

    def _service(self) -> Client:
        from synthorax._sync.client import Client

        if self._client is None or self._process != os.getpid():
            self._client, self._process = Client(*self._connection), os.getpid()
            finalize(self, self._client.close)
            self._client.is_known()  # it has answered before, in whatever process
        return self._client

    def _opened(self) -> SampleCache | None:
        if self._cache is None and self._cache_dir is not None:
            text = json.dumps(self.identity, sort_keys=True)
            name = f"{self.pinned.model}-{sha256(text.encode()).hexdigest()[:16]}"
            shape = (len(self), self.pinned.height, self.pinned.width)
            self._cache = SampleCache(self._cache_dir / name, shape, text)
        return self._cache

    def __getstate__(self) -> dict[str, Any]:
        # A worker opens its own connections and maps its own files.
        return {**self.__dict__, "_client": None, "_cache": None}
