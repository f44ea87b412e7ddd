"""How often the interval of a reader study holds the truth: python benchmarks/reader_intervals.py

Studies are drawn anew, readers and images with them: a reader is right about an image with the
probability of a normal variable below (accuracy + skill of the reader + easiness of the image +
the reader's bias towards one answer).  Beside it what answers taken for independent would claim.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from library.reader_studies.statistics import mean_share, wilson

STUDIES = 1500
# readers, images, accuracy (probit), standard deviations of skill, easiness, bias
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
)


def main() -> None:
    random = np.random.default_rng(1)
    print("| readers | images | accuracy | held | half width | held, if answers were independent |")
    print("|---|---|---|---|---|---|")
    for readers, images, level, skill, easiness, bias in SETTINGS:
        strata = np.repeat([0, 1], images // 2)
        spread = math.sqrt(1 + skill**2 + easiness**2 + bias**2)
        truth = NormalDist().cdf(level / spread)
        held, naive, widths = 0, 0, []
        for _ in range(STUDIES):
            mean = (
                level
                + random.normal(0, skill, (readers, 1))
                + random.normal(0, easiness, (1, images))
                + random.normal(0, bias, (readers, 1)) * np.where(strata == 1, 1, -1)
            )
            right = random.normal(size=(readers, images)) < mean
            found = mean_share(right, strata)
            held += found.low <= truth <= found.high
            widths.append((found.high - found.low) / 2)
            alone = wilson(int(right.sum()), right.size)
            naive += alone.low <= truth <= alone.high
        shares = f"{held / STUDIES:.1%} | {np.median(widths):.3f} | {naive / STUDIES:.1%}"
        print(f"| {readers} | {images} | {truth:.3f} | {shares} |")


if __name__ == "__main__":
    main()
