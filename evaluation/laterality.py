"""Is left where left is?  Features of photographs hardly see a mirrored chest; thumbnails do.

A linear probe on 32 x 32 thumbnails tells real images from the same ones mirrored (97 % right on
Kermany's test images).  `laterality` is the share that it takes as they should be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.fidelity import equal_n
from evaluation.floors import SHARE, WORSE_LOW, Measured, share_error
from evaluation.images import Images, Protocol, Subject, drawn
from evaluation.probe import fitted
from evaluation.thumbnails import thumbnails, unit

FOLDS = 5
MOST = 500  # images a class that the probe learns from
Small = NDArray[np.uint8]


def laterality(
    subject: Subject, pool: Images, reference: Images, protocol: Protocol,
    random: np.random.Generator,
) -> list[Measured]:  # fmt: skip
    """One number a class, floors from patients that the probe has not seen."""
    count = len(subject.labels)
    rows = np.concatenate([drawn(random, pool.rows(k), pool.groups, MOST) for k in range(count)])
    few = pool.taken(rows)
    small = thumbnails(few.levels)
    _, member = np.unique(few.groups, return_inverse=True)
    fold = random.permutation(member.max() + 1)[member] % FOLDS
    right = np.zeros(len(few), bool)
    for i in range(FOLDS):
        inside = fold == i
        if inside.any() and not inside.all():
            right[inside] = _as_they_should(small[~inside], small[inside])
    made = _as_they_should(small, thumbnails(subject.fakes.levels))
    found = []
    for k, label in enumerate(subject.labels):
        own, fakes = few.rows(k), subject.fakes.rows(k)
        n = equal_n(len(reference.rows(k)), len(fakes), len(own), protocol)
        floors = [
            float(right[drawn(random, own, few.groups, n)].mean()) for _ in range(protocol.draws)
        ]
        value = float(made[fakes].mean())
        found.append(
            Measured(
                "laterality",
                label,
                value,
                None,
                np.array(floors),
                n / len(own),
                WORSE_LOW,
                1.0 / n,
                SHARE,
                share_error(value, len(fakes)),
            )
        )
    return found


def _as_they_should(known: Small, asked: Small) -> NDArray[np.bool_]:
    mirrored = np.ascontiguousarray(known[:, :, ::-1])
    vectors = np.concatenate([unit(known), unit(mirrored)])
    probe = fitted(vectors, np.repeat([0, 1], len(known)), 2)
    answer: NDArray[np.bool_] = probe.probabilities(unit(asked)).argmax(1) == 0
    return answer
