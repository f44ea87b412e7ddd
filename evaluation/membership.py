"""Membership inference: can somebody tell from the fakes (or the discriminator) who was trained on?

Black box: an image's score is how near the nearest fake of its class lies, in features; the members
are training images, the others the reference's.  By discriminator: its output.  The p is of
a permutation of membership over patients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.copies import nearest, wilson
from evaluation.images import Rows
from evaluation.permutations import permuted
from evaluation.probe import auroc
from evaluation.views import Views

Array = NDArray[np.float64]


def black_box(
    fakes: Views, train: Views, reference: Views, random: np.random.Generator
) -> dict[str, Any]:
    """Attack with what anybody has: the fakes."""
    scores = []
    for views in (train, reference):
        found = np.empty(len(views.images))
        for label in np.unique(views.images.classes):
            rows = views.images.rows(int(label))
            made = fakes.taken(fakes.images.rows(int(label)))
            found[rows] = -nearest(views.taken(rows), made).distance
        scores.append(found)
    return attack(train, reference, scores[0], scores[1], random)


def attack(
    train: Views, reference: Views, inside: Array, outside: Array, random: np.random.Generator
) -> dict[str, Any]:
    """AUC, TPR at 1 % FPR with its interval, and p; scores are compared within a class."""
    scores = np.concatenate([inside, outside]).astype(np.float64)
    classes = np.concatenate([train.images.classes, reference.images.classes])
    groups = np.concatenate([train.images.groups, reference.images.groups])
    member = np.arange(len(scores)) < len(inside)
    for label in np.unique(classes):
        own = classes == label
        outsiders = scores[own & ~member]
        spread = float(outsiders.std()) or 1.0
        scores[own] = (scores[own] - float(np.median(outsiders))) / spread
    bar = float(np.quantile(scores[~member], 0.99))
    caught = int((scores[member] > bar).sum())
    return {
        "auc": auroc(scores, member),
        "tpr_at_1_percent_fpr": caught / len(inside),
        "tpr_interval": list(wilson(caught, len(inside))),
        "p": _p(scores, member, groups, random),
        "members": len(inside),
        "others": len(outside),
    }


def _p(
    scores: Array, member: NDArray[np.bool_], groups: Rows, random: np.random.Generator
) -> float:
    """Share of permutations over patients that reach the AUC."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]

    def area(rank_sum: float, n: float) -> float:
        others = len(scores) - n
        return (rank_sum - n * (n + 1) / 2) / (n * others) if others else 0.5

    return permuted(ranks, member, groups, area, random)
