"""Are fakes copies of training images?  Two detectors together, and what they say by chance.

correlation: of 32 x 32 thumbnails, blind to noise, blur and resolution, sees no rotation;
distance:    of features at the generator's own resolution, sees rotated and shifted copies.

The bar of each is the nearest 1 % of the reference's images, which the generator has not seen.  If
fakes and reference were exchangeable, the number of fakes beyond the k-th nearest of n reference
images would be negative hypergeometric: that is the p of a detector.  Near-copies are looked for
within a class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Images, Protocol, Rows, drawn
from evaluation.views import Views

Features = NDArray[np.float32]
SHARE = 0.01  # of the reference, beyond the bar of a detector
PERMUTATIONS = 1999
PAIRS = 20
_TOGETHER = 512  # rows of a product at once


@dataclass(frozen=True)
class Nearest:
    """Of each image: likeness to the nearest of others, and which it is."""

    correlation: NDArray[np.float64]
    most_alike: Rows
    distance: NDArray[np.float64]
    closest: Rows


def nearest(these: Views, others: Views) -> Nearest:
    correlation, most_alike = np.empty(len(these.images)), np.empty(len(these.images), np.int64)
    distance, closest = np.empty(len(these.images)), np.empty(len(these.images), np.int64)
    norms = np.einsum("ij,ij->i", others.features, others.features, dtype=np.float64)
    for start in range(0, len(these.images), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        likeness = these.small[part] @ others.small.T
        most_alike[part] = likeness.argmax(1)
        correlation[part] = likeness.max(1)
        vectors = these.features[part].astype(np.float64)
        squares = (
            np.einsum("ij,ij->i", vectors, vectors)[:, None]
            + norms[None]
            - 2 * (these.features[part] @ others.features.T)
        )
        closest[part] = squares.argmin(1)
        # Anew for the one found: the difference of large sums has few digits.
        apart = vectors - others.features[closest[part]]
        distance[part] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return Nearest(correlation, most_alike, distance, closest)


def beyond(fake: NDArray[np.float64], real: NDArray[np.float64]) -> tuple[float, int, float]:
    """How many fakes are higher than the nearest SHARE of real ones: bar, count, p."""
    k = max(1, round(SHARE * (len(real) + 1)))
    bar = float(np.sort(real)[-k])
    count = int((fake > bar).sum())
    return bar, count, negative_hypergeometric(count, k, len(real), len(fake))


def negative_hypergeometric(count: int, k: int, real: int, fake: int) -> float:
    """P(at least `count` of `fake` lie above the k-th highest of `real`), all exchangeable."""

    def choose(n: int, r: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(r + 1) - math.lgamma(n - r + 1)

    total = choose(real + fake, fake)
    terms = [
        math.exp(choose(c + k - 1, c) + choose(fake - c + real - k, fake - c) - total)
        for c in range(count, fake + 1)
    ]
    return min(1.0, math.fsum(terms))


def nearest_is_train(
    fakes: Views, train: Views, reference: Views, random: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Is the nearest real image a training one more often than patients' chance says?

    As many training images as there are in the reference, and the labels train / reference
    permuted over patients: hubs, which are nearest to everything, are one side's by chance alone.
    """
    few = train.taken(drawn(random, np.arange(len(train.images)), train.images.groups,
                            len(reference.images)))  # fmt: skip
    both = Views(
        _joined(few.images, reference.images),
        np.concatenate([few.features, reference.features]),
        np.concatenate([few.small, reference.small]),
    )
    found = nearest(fakes, both)
    n = len(both.images)
    member = np.arange(n) < len(few.images)
    result = {}
    for detector, places in (("correlation", found.most_alike), ("distance", found.closest)):
        hits = np.bincount(places, minlength=n).astype(np.float64)
        result[detector] = _permuted(hits, member, both.images.groups, random)
    return result


def _permuted(
    hits: NDArray[np.float64], member: NDArray[np.bool_], groups: Rows, random: np.random.Generator
) -> dict[str, float]:
    _, group = np.unique(groups, return_inverse=True)
    by_group = np.bincount(group, hits)
    sizes = np.bincount(group).astype(np.float64)
    inside = np.bincount(group, member) > 0
    observed = by_group[inside].sum() / hits.sum() / (sizes[inside].sum() / sizes.sum())
    reached = 0
    for _ in range(PERMUTATIONS):
        chosen = random.permutation(inside)
        share = by_group[chosen].sum() / hits.sum() / (sizes[chosen].sum() / sizes.sum())
        reached += share >= observed
    return {
        "share": float(hits[member].sum() / hits.sum()),
        "p": (1 + reached) / (1 + PERMUTATIONS),
    }


def _joined(one: Images, other: Images) -> Images:
    return Images(
        np.concatenate([one.levels, other.levels]),
        np.concatenate([one.classes, other.classes]),
        np.concatenate([one.groups, other.groups]),
    )


@dataclass(frozen=True)
class ClassCopies:
    """What was found of one class: numbers, and the closest pairs (rows of fakes and train)."""

    numbers: dict[str, Any]
    flagged: NDArray[np.bool_]
    pairs: list[dict[str, Any]]
    bar_correlation: float
    histograms: dict[str, Any]


def class_copies(
    fakes: Views, train: Views, reference: Views, protocol: Protocol, random: np.random.Generator
) -> ClassCopies:
    fake, real = nearest(fakes, train), nearest(reference, train)
    bar_c, count_c, p_c = beyond(fake.correlation, real.correlation)
    bar_d, count_d, p_d = beyond(-fake.distance, -real.distance)
    flagged = (fake.correlation > bar_c) | (-fake.distance > bar_d)
    n, count = len(fakes.images), int(flagged.sum())
    to_reference = nearest(fakes, reference)
    ratio = fake.distance / np.maximum(to_reference.distance, 1e-9)
    low, high = wilson(count, n)
    pairs = sorted(
        (
            {
                "detector": name,
                "fake": int(i),
                "train": int(places[i]),
                "correlation": float(fake.correlation[i]),
                "distance": float(fake.distance[i]),
            }
            for name, order, places in (
                ("correlation", np.argsort(-fake.correlation, kind="stable"), fake.most_alike),
                ("distance", np.argsort(fake.distance, kind="stable"), fake.closest),
            )
            for i in order[:PAIRS]
        ),
        key=lambda pair: (str(pair["detector"]), -float(str(pair["correlation"]))),
    )
    numbers = {
        "n_fake": n,
        "n_train": len(train.images),
        "n_reference": len(reference.images),
        "flagged": count,
        "flagged_share": count / n,
        "flagged_interval": [low, high],
        "flagged_expected": _expected(real.correlation, real.distance, bar_c, bar_d),
        "correlation": {"bar": bar_c, "flagged": count_c, "p": p_c},
        "distance": {"bar": -bar_d, "flagged": count_d, "p": p_d},
        "copies": int((fake.correlation >= protocol.copy_correlation).sum()),
        "copies_among_reference": int((real.correlation >= protocol.copy_correlation).sum()),
        "distance_ratio_p01": float(np.quantile(ratio, 0.01)),
        "nearest_is_train": nearest_is_train(fakes, train, reference, random),
    }
    histograms = {
        "correlation": _histogram(fake.correlation, real.correlation),
        "distance": _histogram(fake.distance, real.distance),
    }
    return ClassCopies(numbers, flagged, pairs, bar_c, histograms)


def _histogram(fake: NDArray[np.float64], real: NDArray[np.float64]) -> dict[str, Any]:
    """Shares of fakes and of the reference by nearness to the nearest training image."""
    low, high = min(fake.min(), real.min()), max(fake.max(), real.max())
    edges = np.linspace(low, max(high, low + 1e-9), 41)
    return {
        "edges": edges.tolist(),
        "generated": (np.histogram(fake, edges)[0] / len(fake)).tolist(),
        "reference": (np.histogram(real, edges)[0] / len(real)).tolist(),
    }


def _expected(
    correlation: NDArray[np.float64], distance: NDArray[np.float64], bar_c: float, bar_d: float
) -> float:
    """The share of the reference at or beyond either bar."""
    return float(((correlation >= bar_c) | (-distance >= bar_d)).mean())


def wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share, 95 %."""
    share = count / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)
