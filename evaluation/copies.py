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

from evaluation.images import SMALLEST, Images, Protocol, Rows
from evaluation.permutations import permuted
from evaluation.views import Views

Features = NDArray[np.float32]
SHARE = 0.01  # of the reference, beyond the bar of a detector
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
    to_train: NDArray[np.float64], to_reference: NDArray[np.float64], places: tuple[Rows, Rows],
    bar: float, train: Images, reference: Images, level: float, random: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Is the nearest real image a training one more often than patients' chance says?

    Nearness of each fake to both sets, and to which image.  Of all fakes; and of the near ones,
    beyond the bar towards any real image: chosen by their nearness to training images alone, they
    would lie nearer to those by choice.  The labels train / reference are permuted over patients:
    hubs, which are nearest to everything, are one side's by chance alone.
    """
    n = len(train) + len(reference)
    member = np.arange(n) < len(train)
    groups = np.concatenate([train.groups, reference.groups])
    nearest_one = np.where(to_train >= to_reference, places[0], len(train) + places[1])

    def tested(chosen: NDArray[np.bool_]) -> tuple[float, float]:
        hits = np.bincount(nearest_one[chosen], minlength=n).astype(np.float64)
        count = hits.sum()
        if not count:
            return 0.0, 1.0
        p = permuted(hits, member, groups, lambda total, size: total / size, random, level)
        return float(hits[member].sum() / count), p

    near = np.maximum(to_train, to_reference) > bar
    (share, p), (near_share, near_p) = tested(np.ones(len(near), bool)), tested(near)
    return {
        "share": share, "expected": len(train) / n, "p": p,
        "near": int(near.sum()), "near_share": near_share, "near_p": near_p,
    }  # fmt: skip


@dataclass(frozen=True)
class ClassCopies:
    """What was found of one class: numbers, and the closest pairs (rows of fakes and train)."""

    numbers: dict[str, Any]
    flagged: NDArray[np.bool_]
    pairs: list[dict[str, Any]]
    bar_correlation: float
    histograms: dict[str, Any]


def class_copies(
    fakes: Views, train: Views, reference: Views, protocol: Protocol, classes: int,
    random: np.random.Generator,
) -> ClassCopies:  # fmt: skip
    """One of `classes` classes.  Unseen images that are copies of training images, too, are left
    out: as the nearest of the unseen they would put the bars where no fake can pass."""
    fake, real = nearest(fakes, train), nearest(reference, train)
    own = real.correlation < protocol.copy_correlation
    twins = int((~own).sum())
    if own.sum() >= SMALLEST:
        reference = reference.taken(np.flatnonzero(own))
        real = nearest(reference, train)
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
    level = protocol.preference_level(classes)
    sides = {
        "correlation": (fake.correlation, to_reference.correlation,
                        (fake.most_alike, to_reference.most_alike), bar_c),
        "distance": (-fake.distance, -to_reference.distance,
                     (fake.closest, to_reference.closest), bar_d),
    }  # fmt: skip
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
        "copies_among_reference": twins,
        "distance_ratio_p01": float(np.quantile(ratio, 0.01)),
        "nearest_is_train": {
            detector: nearest_is_train(*side, train.images, reference.images, level, random)
            for detector, side in sides.items()
        },
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
