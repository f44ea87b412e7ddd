"""The damage ruler: real images of one class, damaged, measured as the fakes are."""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluation import damage
from evaluation.fidelity import equal_n
from evaluation.images import Images, Protocol, Subject, drawn
from evaluation.measuring import FeatureSets
from features.distances import Gram
from features.extractors import FeatureCache, Features, Progress


def ruler(
    label: int, subject: Subject, features: FeatureSets, cache: FeatureCache, protocol: Protocol,
    tell: Progress,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of `damage`, kid, fd, precision, coverage; worst last by KID.

    features: of the subject's sets, so that only what is damaged is computed.  Without training
    images there is nothing to damage but the reference: no rows.
    """
    train, reference = subject.train, subject.reference
    if train is None or features.train is None:
        return []
    real, count = reference.rows(label), len(subject.labels)
    most = min(len(train.rows(label)), protocol.pool)
    n = equal_n(len(real), len(subject.fakes.rows(label)), most, protocol)
    random = np.random.default_rng([protocol.seed, 7, label])
    rows = drawn(random, train.rows(label), train.groups, n)
    again = drawn(random, train.rows(label), train.groups, n)
    half = drawn(random, real, reference.groups, n)
    clean = train.levels[rows]
    damaged = {
        "flip": damage.flipped(clean),
        "lower resolution": damage.lower_resolution(clean),
        "blur": damage.blurred(clean),
        "noise 1": damage.noisy(clean, 1.0, random),
        "noise 5": damage.noisy(clean, 5.0, random),
        "shuffle": damage.shuffled(clean, random),
    }
    known = {
        "clean": features.train[rows],
        # What memorising would score: fidelity cannot tell it from new images.
        "copies of training": features.train[again],
        "collapse": features.train[damage.collapsed(rows)],
    }
    if count > 1:
        nearest = _nearest_class(label, count, reference, features.reference)
        others = reference.rows(nearest)
        few = min(n, len(others))  # KID does not depend on it; FD and coverage do
        known["other class"] = features.reference[drawn(random, others, reference.groups, few)]
    against = features.reference[half]
    name, found = cache.extractor.name, []
    for done, kind in enumerate([*known, *damaged], 1):
        these = known[kind] if kind in known else cache.features(damaged[kind])
        gram = Gram(np.concatenate([against, these]))
        a, b = np.arange(n), np.arange(n, n + len(these))
        numbers = gram.prdc(a, b)
        found.append(
            {
                "damage": kind,
                **({"class": subject.labels[nearest]} if kind == "other class" else {}),
                f"kid_{name}": gram.kid(a, b),
                f"fd_{name}": gram.fd(a, b),
                "precision": numbers["precision"],
                "coverage": numbers["coverage"],
            }
        )
        tell(done, len(known) + len(damaged))
    return sorted(found, key=lambda row: (row["damage"] != "clean", row[f"kid_{name}"]))


def _nearest_class(label: int, count: int, images: Images, features: Features) -> int:
    """The other class whose mean is nearest: the least that being of another class costs."""
    means = [features[images.rows(k)].mean(0, dtype=np.float64) for k in range(count)]
    others = [k for k in range(count) if k != label]
    return min(others, key=lambda k: float(np.linalg.norm(means[k] - means[label])))
