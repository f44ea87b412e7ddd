"""The samples that a request names, in order."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from app.generate.schemas import GenerateRequest
from library.latents import SEED_MAX
from library.versions import Version, label_index


@dataclass(slots=True)
class SeedRange:
    """Samples first, first + 1, … of one class, or of classes drawn from the seeds (None)."""

    first: int
    count: int
    label: int | None

    def __len__(self) -> int:
        return self.count

    def part(self, start: int, stop: int) -> tuple[Sequence[int], Sequence[int | None]]:
        return range(self.first + start, self.first + stop), [self.label] * (stop - start)


@dataclass(frozen=True, slots=True)
class Listed:
    """Samples named one by one."""

    seeds: Sequence[int]
    labels: Sequence[int | None]

    def __len__(self) -> int:
        return len(self.seeds)

    def part(self, start: int, stop: int) -> tuple[Sequence[int], Sequence[int | None]]:
        return self.seeds[start:stop], self.labels[start:stop]


def drawn_seed(count: int) -> int:
    """The first of `count` seeds, drawn where none is given."""
    return secrets.randbelow(SEED_MAX + 2 - count)


def samples_of(request: GenerateRequest, version: Version) -> SeedRange | Listed:
    """What a request means for a version.  Raises InvalidValue for a label that it lacks."""
    if request.items is not None:
        indices = [
            label_index(version, item.label, f"items.{i}.label")
            for i, item in enumerate(request.items)
        ]
        return Listed([item.seed for item in request.items], indices)
    first = drawn_seed(request.count) if request.seed is None else request.seed
    return SeedRange(first, request.count, label_index(version, request.label))
