"""The images of a study: one table of all that take part, in the order in which they are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Images, Rows
from evaluation.reading import split_images
from library.datasets.opened import Opened
from library.errors import InvalidValue
from library.images import Fit
from library.studies.config import StudyConfig
from library.studies.resolving import every_class

SPLITS = ("train", "validation", "held_out")


@dataclass(frozen=True)
class Table:
    """images: levels (N, r, r) uint8, classes, patients; split: (N,) index into SPLITS."""

    images: Images
    split: NDArray[np.int8]
    labels: tuple[str, ...]
    positive: int
    patients_known: bool

    def rows(self, *splits: str) -> Rows:
        return np.flatnonzero(np.isin(self.split, [SPLITS.index(name) for name in splits]))


def read_table(dataset: Opened, config: StudyConfig, cache: Path) -> Table:
    """All images of the study's classes.  Raises InvalidValue for classes that are not there."""
    labels = chosen_labels(config, dataset.record["labels"])
    images, _, split = _read(dataset, labels, config, cache)
    known = dataset.record["patients_by"] != "none"
    return Table(images, split, tuple(labels), labels.index(config.positive), known)


def read_images(
    dataset: Opened, labels: list[str], config: StudyConfig, cache: Path
) -> tuple[Images, list[str]]:
    """All images of these classes, of whatever split, as a study reads them; the classes."""
    images, names, _ = _read(dataset, labels, config, cache)
    return images, names


def _read(
    dataset: Opened, labels: list[str], config: StudyConfig, cache: Path
) -> tuple[Images, list[str], NDArray[np.int8]]:
    there = [name for name in SPLITS if dataset.record["splits"].get(name, {}).get("images")]
    fit = cast(Fit, config.fit)
    parts = [split_images(dataset, n, labels, config.resolution, fit, cache) for n in there]
    images = Images(
        np.concatenate([part.levels for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.groups for part in parts]),
        tuple(digest for part in parts for digest in part.sha256),
    )
    split = np.repeat([SPLITS.index(name) for name in there], [len(part) for part in parts])
    return images, labels, split.astype(np.int8)


def chosen_labels(config: StudyConfig, there: object) -> list[str]:
    """Names of the study's classes, sorted.  Raises InvalidValue."""
    assert isinstance(there, dict)
    wanted = list(config.labels) or sorted(there)
    named = {
        "labels": wanted,
        "positive": [config.positive],
        "synthetic_classes": config.synthetic_classes,
    }
    for field, names in named.items():
        for name in names:
            if name not in there:
                raise InvalidValue(
                    f"The dataset has no images of {name!r}.",
                    field=f"config.{field}",
                    value=name,
                    remedy=f"Its classes are: {', '.join(sorted(there))}.",
                )
    if len(wanted) < 2:
        raise InvalidValue(
            f"The dataset has one class ({wanted[0]!r}): there is nothing to tell it from.",
            field="config.labels",
            value=wanted,
            remedy="Name a dataset with two or more classes.",
        )
    if all_named := every_class(config, wanted):
        raise all_named
    return sorted(wanted)
