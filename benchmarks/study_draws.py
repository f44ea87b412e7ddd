"""Patients dealt anew to a study and to a large test: of real radiographs, or of planted features.

What benchmarks.study_coverage draws from.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.extractors import FeatureCache, efficientnet_lite0
from library.images import load_grey

Array = NDArray[np.float64]
SMALL, COMPONENTS, SIDE = 110, 64, 64
STUDY_SHARE = 0.35  # of the patients, the rest is the large test


@dataclass(frozen=True)
class Images:
    features: Array
    positive: NDArray[np.bool_]
    groups: NDArray[np.int64]

    def taken(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Images:
        return Images(self.features[rows], self.positive[rows], self.groups[rows])


Deal = Callable[[np.random.Generator], tuple[Images, Images]]  # study and large test


def radiographs(folder: Path) -> Deal:
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        lines = [row for row in csv.DictReader(file) if row["finding"] in ("VIRUS", "BACTERIA")]
    levels = np.stack([load_grey(folder / row["file"], SIDE, "crop") for row in lines])
    cache = FeatureCache(efficientnet_lite0(), Path.home() / ".cache/synthorax/features")
    features = cache.features(levels).astype(np.float64)
    features -= features.mean(0)
    _, _, axes = np.linalg.svd(features, full_matrices=False)
    points = features @ axes[:COMPONENTS].T
    positive = np.array([row["finding"] == "VIRUS" for row in lines])
    _, groups = np.unique([row["group"] for row in lines], return_inverse=True)
    everything = Images(points, positive, groups.astype(np.int64))

    def deal(random: np.random.Generator) -> tuple[Images, Images]:
        order = random.permutation(everything.groups.max() + 1)
        mine = order < STUDY_SHARE * len(order)
        study, large = (everything.taken(part[everything.groups]) for part in (mine, ~mine))
        counts = np.bincount(study.groups[study.positive], minlength=len(order))
        shuffled = random.permutation(len(order))
        kept = shuffled[np.cumsum(counts[shuffled]) <= SMALL]
        return study.taken(~study.positive | np.isin(study.groups, kept)), large

    return deal


def planted(components: int = 32, apart: float = 1.5, shared: float = 0.5) -> Deal:
    """Patients of one to several images; `shared`: their part of the variance."""

    def some(random: np.random.Generator, count: int, is_positive: bool, first: int) -> Images:
        member = np.repeat(np.arange(count), 1 + random.poisson(1.2, count))[:count]
        patients = random.normal(size=(count, components))[member]
        noise = random.normal(size=(len(member), components))
        features = math.sqrt(shared) * patients + math.sqrt(1 - shared) * noise
        features += is_positive * apart / math.sqrt(components)
        return Images(features, np.full(len(member), is_positive), member + first)

    def both(random: np.random.Generator, positive: int, negative: int) -> Images:
        parts = [some(random, positive, True, 0), some(random, negative, False, positive)]
        return Images(
            np.concatenate([each.features for each in parts]),
            np.concatenate([each.positive for each in parts]),
            np.concatenate([each.groups for each in parts]),
        )

    return lambda random: (both(random, SMALL, 5 * SMALL), both(random, 4000, 4000))
