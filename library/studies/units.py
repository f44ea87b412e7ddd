"""The units of a study: what one process does at a time, and what has to be there before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from library.studies.config import StudyConfig

PREPARE, GENERATOR, RUNS, RESULTS = "prepare", "generator", "runs", "results"
TURN = "turn"  # a line on a unit's stdin: end when the runs at hand are done, others wait
TRAINING_KINDS = frozenset({GENERATOR})  # units of the training queue; the rest is light


@dataclass(frozen=True)
class Partition:
    """Training images and the images that are tested on, disjoint by patients.

    Of a usefulness study: a share of the training patients, for each generator another share
    (`draw`) where it is below 1; tested on the test split.  Of a small_class study: a fold.
    """

    name: str
    size: float = 1.0
    draw: int = 0
    repeat: int = 0
    fold: int = 0


@dataclass(frozen=True)
class Unit:
    """name: also of its files; kind; partition and generator where it belongs to one."""

    name: str
    kind: str
    partition: str | None = None
    generator: int = 0
    after: tuple[str, ...] = ()

    @property
    def on_training_queue(self) -> bool:
        return self.kind in TRAINING_KINDS


def partitions(config: StudyConfig) -> list[Partition]:
    if config.kind == "small_class":
        return [
            Partition(f"r{repeat}f{fold}", repeat=repeat, fold=fold)
            for repeat in range(config.repeats)
            for fold in range(config.folds)
        ]
    found = []
    for size in config.sizes:
        draws = 1 if size == 1 else config.generators
        found += [Partition(f"s{size:g}d{draw}", size, draw) for draw in range(draws)]
    return found


def units(config: StudyConfig) -> list[Unit]:
    """In the order in which one process would do them."""
    found = [Unit(PREPARE, PREPARE)]
    for partition in partitions(config):
        for generator in generators_of(config, partition):
            name, after = f"{partition.name}-g{generator}", (PREPARE,)
            if config.generator.trained:
                trained = Unit(f"{GENERATOR}-{name}", GENERATOR, partition.name, generator, after)
                found.append(trained)
                after = (trained.name,)
            found.append(Unit(f"{RUNS}-{name}", RUNS, partition.name, generator, after))
    runs = tuple(unit.name for unit in found if unit.kind == RUNS)
    return [*found, Unit(RESULTS, RESULTS, after=runs)]


def generators_of(config: StudyConfig, partition: Partition) -> Iterable[int]:
    """Numbers of the generators of a partition: where it is a draw of its own, that draw's."""
    if config.kind == "small_class":
        return (0,)
    return range(config.generators) if partition.size == 1 else (partition.draw,)


def runs_without_synthetic(config: StudyConfig, unit: Unit) -> bool:
    """Whether a unit of runs also has the arms that need no generator: once a partition."""
    partition = next(p for p in partitions(config) if p.name == unit.partition)
    return unit.generator == next(iter(generators_of(config, partition)))
