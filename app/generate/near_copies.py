"""`reject_near_copies`: samples too near to a training image are replaced, and counted.

What replaces a sample is a function of its seed, so the answer to a request is the same each time.
The filter needs a report on the version that was made on this server, with its training images.
Passing it makes a sample neither private nor anonymous.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prometheus_client.core import Metric

from app.engine.loaded import Loaded
from app.engine.pool import EnginePool
from app.engine.ticket import Samples
from app.generate.levels import levels_of
from app.generate.samples import Listed
from app.metrics import counter
from library.errors import Conflict, NotFound
from library.latents import drawn_labels, replacement_seed
from library.near_copies import NearCopies, read
from library.reports import COPIES, OPERATOR, find_report
from library.versions import Version

ATTEMPTS = 16
FILTERS_KEPT = 4  # a few thousand thumbnails take 32 MB


class OnlyNearCopies(Conflict):
    slug, title = "near-copies-only", "The generator copies its training images here"


@dataclass(frozen=True)
class Accepted:
    """Samples that passed: which they are, which were asked for, how many were rejected of each."""

    samples: Listed
    requested: Sequence[int]
    rejected: Sequence[int]
    report: str

    @property
    def total(self) -> int:
        return sum(self.rejected)


class NearCopyFilters:
    """The filters of versions, the least recently used forgotten."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._kept: OrderedDict[str, NearCopies] = OrderedDict()
        self._paths: dict[str, Path] = {}
        self._lock = threading.Lock()  # requests look in threads of their own
        self.rejected: dict[str, int] = {}  # images, by version

    def find(self, version: Version) -> tuple[str, NearCopies]:
        """The newest report's filter.  Raises Conflict where there is none."""
        with self._lock:
            return self._find(version)

    def _find(self, version: Version) -> tuple[str, NearCopies]:
        for known in list(self._kept):  # a report that is deleted takes its thumbnails with it
            if not self._paths[known].is_file():
                del self._kept[known], self._paths[known]
        try:
            record, folder = find_report(self._data_dir, version.digest, "latest")
            report = str(record["id"])
            if report not in self._kept:
                path = folder / OPERATOR / COPIES
                self._kept[report], self._paths[report] = read(path), path
        except (NotFound, FileNotFoundError):
            raise Conflict(
                f"{version.reference} has no report on this server that its training images were "
                "part of.",
                field="reject_near_copies",
                value=True,
                remedy=f"POST /models/{version.reference}/reports makes one, given the dataset.",
            ) from None
        self._kept.move_to_end(report)
        while len(self._kept) > FILTERS_KEPT:
            del self._paths[self._kept.popitem(last=False)[0]]
        return report, self._kept[report]

    async def accepted(
        self, pool: EnginePool, loaded: Loaded, samples: Samples, truncation: float
    ) -> Accepted:
        """Draw, look, draw anew what is rejected.  Raises OnlyNearCopies after 16 attempts."""
        version = loaded.version
        report, known = await asyncio.to_thread(self.find, version)
        requested, labels = samples.part(0, len(samples))
        seeds, fixed = list(requested), _labels(version, requested, labels)
        rejected = [0] * len(seeds)
        open_ = np.arange(len(seeds))
        for attempt in range(ATTEMPTS):
            part = Listed([seeds[i] for i in open_], [fixed[i] for i in open_])
            levels = await levels_of(pool, loaded, part, truncation)
            open_ = open_[await asyncio.to_thread(known.flagged, levels)]
            if not len(open_):
                self._count(version.reference, sum(rejected))
                return Accepted(Listed(seeds, fixed), requested, rejected, report)
            for i in open_:
                rejected[i] += 1
                seeds[i] = replacement_seed(requested[i], attempt + 1)
        self._count(version.reference, sum(rejected))
        seed = requested[open_[0]]
        raise OnlyNearCopies(
            f"{ATTEMPTS} samples for the seed {seed} in a row lie too near to a training image.",
            field="seed",
            value=seed,
            remedy="Use another version: its report says how much this one copies.",
        )

    def families(self) -> Iterator[Metric]:
        found = {(reference,): float(n) for reference, n in self.rejected.items()}
        text = "Samples rejected as near-copies of training images"
        yield counter("synthorax_near_copies_rejected", text, found, ("model",))

    def _count(self, reference: str, images: int) -> None:
        self.rejected[reference] = self.rejected.get(reference, 0) + images


def _labels(
    version: Version, seeds: Sequence[int], labels: Sequence[int | None]
) -> list[int | None]:
    """A null label stays what the seed that was asked for draws."""
    if not version.labels:
        return list(labels)
    drawn = drawn_labels(seeds, version.label_frequencies)
    return [int(d) if label is None else label for d, label in zip(drawn, labels, strict=True)]
