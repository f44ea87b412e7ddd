"""Can real and synthetic images be told apart?  A linear probe, on patients it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Images, drawn
from evaluation.probe import out_of_fold

MOST = 500  # images of each class on either side


def told_apart(
    real: NDArray[np.float32], table: Images, made: NDArray[np.float32], synthetic: Images,
    random: np.random.Generator,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Arrays `told_apart/score`, `synthetic`, `group` and `label` of as many real as synthetic
    images of each class; table and synthetic: classes and patients of the features' images."""
    of_real, of_made = [], []
    for label in np.unique(table.classes):
        rows, others = table.rows(int(label)), synthetic.rows(int(label))
        count = min(len(rows), len(others), MOST)
        of_real.append(drawn(random, rows, table.groups, count))
        of_made.append(others[:count])
    one, other = np.concatenate(of_real), np.concatenate(of_made)
    features = np.concatenate([real[one], made[other]])
    is_made = np.repeat([0, 1], [len(one), len(other)])
    apart = int(table.groups.max()) + 1  # each synthetic image stands alone
    groups = np.concatenate([table.groups[one], apart + np.arange(len(other))])
    score = out_of_fold(features, is_made, groups, 2, random)[:, 1]
    return {
        "told_apart/score": score.astype(np.float32),
        "told_apart/synthetic": is_made.astype(bool),
        "told_apart/group": groups,
        "told_apart/label": np.concatenate([table.classes[one], synthetic.classes[other]]),
    }
