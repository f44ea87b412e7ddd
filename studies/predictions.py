"""What a study's units have predicted, read from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.atomic import read_json
from library.errors import Unusable
from library.studies.config import WITH_SYNTHETIC, StudyConfig
from library.studies.folder import Study
from library.studies.units import GENERATOR, PREPARE, RUNS, Partition, generators_of, partitions

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
WITH_RATIO = WITH_SYNTHETIC - {"synthetic"} | {"duplicates"}


@dataclass(frozen=True)
class Arm:
    """A classifier trained in one way; ratio: of synthetic images or duplicates, where it has."""

    classifier: str
    name: str
    ratio: float | None = None

    @property
    def key(self) -> str:
        """As units of runs name it."""
        return f"{self.classifier}/{self.name}" + ("" if self.ratio is None else f"@{self.ratio:g}")

    def at(self, size: float) -> dict[str, Any]:
        """As results name it."""
        return {
            "classifier": self.classifier, "size": size, "arm": self.name, "ratio": self.ratio
        }  # fmt: skip

    @classmethod
    def of(cls, key: str) -> Arm:
        classifier, _, rest = key.partition("/")
        name, _, ratio = rest.partition("@")
        return cls(classifier, name, float(ratio) if ratio else None)


def as_named(ratio: float) -> float:
    """A ratio of the configuration as the names of arms have it: six digits."""
    return float(f"{ratio:g}")


Place = tuple[str, int]  # partition and generator
Runs = dict[Arm, dict[Place, Array]]


@dataclass(frozen=True)
class ToldApart:
    """Real and synthetic images and what a probe thinks: (q,) each."""

    score: Array
    synthetic: NDArray[np.bool_]
    group: Rows
    label: Rows


@dataclass
class Predictions:
    """classes, groups: of all images; tests: rows of each partition's, as predictions are ordered.

    runs: probability of the positive class, (seeds, images); large: of the large test's positive
    images; shortcut: of synthetic images of the other classes; generators: see trained.
    """

    config: StudyConfig
    prepared: dict[str, Any]
    classes: Rows
    groups: Rows
    tests: dict[str, Rows]
    large_rows: Rows
    runs: Runs = field(default_factory=dict)
    large: Runs = field(default_factory=dict)
    shortcut: Runs = field(default_factory=dict)
    told_apart: dict[Place, ToldApart] = field(default_factory=dict)
    generators: list[dict[str, Any]] = field(default_factory=list)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Of all images."""
        found: NDArray[np.bool_] = self.classes == int(self.prepared["positive"])
        return found

    @property
    def patients_known(self) -> bool:
        return bool(self.prepared.get("patients_known"))

    def partitions(self, size: float) -> list[Partition]:
        return [each for each in partitions(self.config) if each.size == size]

    def places(self, arm: Arm, size: float) -> list[Place]:
        """Where this arm is to have runs: with every generator, or once a partition."""
        return list(places(self.config, arm.name, self.partitions(size)))

    def arms(self, size: float) -> list[Arm]:
        """Those that have all of their runs, in the order of the first unit."""
        return [
            arm for arm, found in self.runs.items() if set(self.places(arm, size)) <= found.keys()
        ]


def places(config: StudyConfig, arm: str, among: list[Partition]) -> Iterator[Place]:
    for partition in among:
        numbers = list(generators_of(config, partition))
        for generator in numbers if arm in WITH_SYNTHETIC else numbers[:1]:
            yield partition.name, generator


def read(study: Study) -> Predictions:
    """Raises Unusable when what a unit left does not belong to the study."""
    config = study.config
    with np.load(study.partitions) as file:
        arrays = {name: file[name] for name in file.files}
    found = Predictions(
        config,
        read_json(study.unit_record(PREPARE)),
        arrays["classes"].astype(np.int64),
        arrays["groups"].astype(np.int64),
        {each.name: arrays[f"test/{each.name}"].astype(np.int64) for each in partitions(config)},
        arrays.get("large", np.zeros(0, np.int64)).astype(np.int64),
    )
    for unit in study.units:
        if unit.kind != RUNS:
            continue
        assert unit.partition is not None
        place = unit.partition, unit.generator
        with np.load(study.unit_arrays(unit.name)) as file:
            _take(found, place, {name: file[name] for name in file.files}, unit.name)
    found.generators = trained(study)
    return found


def numbered(config: StudyConfig) -> dict[Place, tuple[float, int]]:
    """The size that each generator belongs to, and its number: a fold's own is its fold's."""
    found: dict[Place, tuple[float, int]] = {}
    for partition in partitions(config):
        for generator in generators_of(config, partition):
            number = len(found) if config.kind == "small_class" else generator
            found[partition.name, generator] = partition.size, number
    return found


def trained(study: Study) -> list[dict[str, Any]]:
    """The study's own generators: images shown, steps, KID of a checkpoint that was chosen.

    chose: the classes whose images that KID was of, None where nothing was chosen.
    collapsed: images shown when its samples did, if they did; `images` are those before.
    """
    numbers, found = numbered(study.config), []
    for unit in study.units:
        if unit.kind == GENERATOR and unit.partition is not None:
            said = read_json(study.unit_record(unit.name))
            size, number = numbers[unit.partition, unit.generator]
            chosen = said.get("chosen") or {}
            by_label = chosen.get("by_label")
            found.append({
                "size": size, "generator": number, "partition": unit.partition,
                "images": said["images"], "steps": said["steps"], "kid": chosen.get("kid"),
                "chose": None if by_label is None else sorted(by_label),
                "collapsed": said.get("collapsed"),
            })  # fmt: skip
    return found


def _take(found: Predictions, place: Place, arrays: Mapping[str, Any], unit: str) -> None:
    told = {name[11:]: value for name, value in arrays.items() if name.startswith("told_apart/")}
    if told:
        found.told_apart[place] = ToldApart(
            told["score"].astype(np.float64), told["synthetic"].astype(bool),
            told["group"].astype(np.int64), told["label"].astype(np.int64),
        )  # fmt: skip
    for name, value in arrays.items():
        kind, _, rest = name.partition("/")
        if kind == "told_apart":
            continue
        runs, key = {"large": (found.large, rest), "shortcut": (found.shortcut, rest)}.get(
            kind, (found.runs, name)
        )
        scores = np.atleast_2d(value.astype(np.float64))
        wanted = len(found.tests[place[0]]) if runs is found.runs else None
        if (wanted is not None and scores.shape[1] != wanted) or not np.isfinite(scores).all():
            raise Unusable(
                f"The predictions {name!r} of the unit {unit!r} are not {wanted} finite numbers.",
                field="unit", value=unit, remedy="Remove the unit's files and resume the study.",
            )  # fmt: skip
        runs.setdefault(Arm.of(key), {})[place] = scores
