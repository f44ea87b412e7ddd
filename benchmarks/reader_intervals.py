"""How often the intervals of a reader study hold the truth: python benchmarks/reader_intervals.py

Studies are drawn anew, readers and images with them: a reader is right about an image with the
probability of a normal variable below (accuracy + skill of the reader + easiness of the image +
the reader's bias towards one answer).  Beside it what answers taken for independent would claim.
Then one reader's area under the ROC curve, of ratings in ten steps, beside a percentile bootstrap;
and how often a study would be called told apart (or reversed) by who looks after each reader.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from library.reader_studies.statistics import (
    above,
    area,
    mean_share,
    resampled_areas,
    verdict,
    wilson,
)

STUDIES = 1500
# readers, images, accuracy (probit), standard deviations of skill, easiness, bias; a bias of None:
# images of one kind, as sensitivity is of
SETTINGS = (
    (2, 100, 0.0, 0.0, 0.0, 0.0),
    (3, 100, 0.0, 0.0, 0.0, 0.3),
    (3, 100, 0.3, 0.2, 0.5, 0.3),
    (3, 100, 0.0, 0.3, 0.5, 0.3),
    (5, 100, 0.0, 0.0, 0.5, 0.3),
    (5, 60, 0.6, 0.3, 0.7, 0.3),
    (10, 100, 0.4, 0.3, 0.5, 0.3),
    (6, 40, 0.0, 0.2, 0.3, 0.3),
    # Whom nothing or next to nothing escapes.
    (2, 20, 2.0, 0.2, 0.3, 0.2),
    (3, 100, 2.8, 0.2, 0.3, 0.2),
    (2, 100, 3.2, 0.0, 0.0, 0.0),
    # Where few images are hard.
    (5, 50, 3.0, 0.2, 1.0, None),
    (10, 50, 3.5, 0.2, 1.5, None),
    (10, 25, 3.5, 0.2, 1.5, None),
    (5, 50, 2.0, 0.2, 1.0, None),
    (3, 100, 0.6, 0.2, 1.0, None),
)
AREAS = ((25, 0.5), (25, 2.0), (25, 3.0), (50, 2.5), (50, 3.0))  # images a kind, distance


def drawn(
    random: np.random.Generator, strata: NDArray[np.int64], readers: int,
    level: float, skill: float, easiness: float, bias: float,
) -> NDArray[np.bool_]:  # fmt: skip
    """Who is right about what in one study, (readers, images)."""
    images = len(strata)
    mean = (
        level
        + random.normal(0, skill, (readers, 1))
        + random.normal(0, easiness, (1, images))
        + random.normal(0, bias, (readers, 1)) * np.where(strata == 1, 1, -1)
    )
    right: NDArray[np.bool_] = random.normal(size=(readers, images)) < mean
    return right


def shares() -> None:
    random = np.random.default_rng(1)
    print("| readers | images | accuracy | held | half width | held, if answers were independent |")
    print("|---|---|---|---|---|---|")
    for readers, images, level, skill, easiness, bias in SETTINGS:
        strata = np.repeat([0, 1], images // 2) if bias is not None else np.zeros(images, np.int64)
        bias = bias or 0.0
        spread = math.sqrt(1 + skill**2 + easiness**2 + bias**2)
        truth = NormalDist().cdf(level / spread)
        held, naive, widths = 0, 0, []
        for _ in range(STUDIES):
            right = drawn(random, strata, readers, level, skill, easiness, bias)
            found = mean_share(right, strata)
            held += found.low <= truth <= found.high
            widths.append((found.high - found.low) / 2)
            alone = wilson(int(right.sum()), right.size)
            naive += alone.low <= truth <= alone.high
        found_to = f"{held / STUDIES:.1%} | {np.median(widths):.3f} | {naive / STUDIES:.1%}"
        print(f"| {readers} | {images} | {truth:.3f} | {found_to} |", flush=True)


def areas() -> None:
    random = np.random.default_rng(2)
    print("\n| images of each kind | area | held | percentiles instead |\n|---|---|---|---|")
    for images, distance in AREAS:
        synthetic = np.repeat([False, True], images)
        many = random.normal(size=100_000) + distance * (np.arange(100_000) % 2)
        cuts = np.quantile(many, np.linspace(0, 1, 11)[1:-1])
        shares = [
            np.bincount(np.digitize(random.normal(mean, 1, 400_000), cuts), minlength=10) / 400_000
            for mean in (0, distance)
        ]
        below = np.cumsum(shares[0]) - shares[0] / 2
        truth = float((shares[1] * below).sum())
        held = percentiles = 0
        for _ in range(STUDIES):
            seen = random.normal(size=2 * images) + distance * synthetic
            ratings = np.digitize(seen, cuts).astype(np.float64)
            found = area(ratings, synthetic, 500)
            held += found.low <= truth <= found.high
            again = resampled_areas(above(ratings, synthetic), 500)
            low, high = np.quantile(again, (0.025, 0.975))
            percentiles += low <= truth <= high
        print(f"| {images} | {truth:.3f} | {held / STUDIES:.1%} | {percentiles / STUDIES:.1%} |")


def looks(readers: int = 12, images: int = 100) -> None:
    random, strata = np.random.default_rng(3), np.repeat([0, 1], images // 2)
    at_some = at_last = 0
    for _ in range(STUDIES):
        right = drawn(random, strata, readers, 0.0, 0.15, 0.4, 0.3)
        found = [verdict(mean_share(right[:n], strata), 0.1) for n in range(2, readers + 1)]
        wrong = [each in ("told_apart", "reversed") for each in found]
        at_some, at_last = at_some + any(wrong), at_last + wrong[-1]
    print(
        f"\n{readers} guessing readers of {images} images, a look after each: told apart at some "
        f"time in {at_some / STUDIES:.1%} of studies, at the last look in {at_last / STUDIES:.1%}"
    )


def main() -> None:
    shares()
    areas()
    looks()


if __name__ == "__main__":
    main()
