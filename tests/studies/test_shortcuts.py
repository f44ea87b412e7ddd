"""Whether "synthetic" can be told: intervals that are as wide as the numbers are off."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study_told_apart import judged
from studies import shortcuts
from studies.predictions import Arm, read
from tests.studies.planted import planted_study


def test_a_perfect_generator_is_off_chance_by_no_more_than_its_interval_says() -> None:
    """The folds' probes share images; with patients resampled alone the variance is 1.8 times what
    is claimed.  More repeats: python -m benchmarks.study_told_apart."""
    found = [judged(40, 30, 15, np.random.default_rng([3, i])) for i in range(120)]
    values = np.array([each.value for each in found])
    claimed = float(np.mean([each.variance for each in found]))
    assert values.mean() == pytest.approx(0.5, abs=0.03)
    assert 0.6 < values.var(ddof=1) / claimed < 1.3


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_share_of_none_or_all_is_still_one_of_some_images(
    tmp_path: Path, probability: float
) -> None:
    predictions = read(planted_study(tmp_path, {"sizes": [1.0]}, {}))
    arm = Arm("probe", "real_synthetic", 1.0)
    given = predictions.shortcut[arm]
    images = next(iter(given.values())).shape[1]
    predictions.shortcut[arm] = {
        place: np.full_like(scores, probability) for place, scores in given.items()
    }
    rows, _ = shortcuts.shortcut(predictions)
    row = next(each for each in rows if each["arm"] == arm.name)
    assert row["rate_synthetic"] == probability
    # Agresti and Coull's variance of none of so many, of the mean of the draws.
    share = 2 / (images + 4)
    alone = 1.96 * math.sqrt(share * (1 - share) / (images + 4) / len(given))
    assert row["interval"][1] - row["difference"] > alone
