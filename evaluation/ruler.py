"""The damage ruler: real images of one class, damaged, measured as the fakes are."""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluation import damage
from evaluation.images import Images, Protocol, drawn
from features.distances import Gram
from features.extractors import FeatureCache, Progress


def ruler(
    label: int, pool: Images, others: Images | None, reference: Images, n: int,
    cache: FeatureCache, protocol: Protocol, tell: Progress,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of `damage`, kid, fd, precision, coverage; worst last by KID.

    pool: training images of all classes, of which `n` of class `label` are damaged; others: real
    images of another class (None: there is none).
    """
    random = np.random.default_rng([protocol.seed, 7, label])
    rows = drawn(random, pool.rows(label), pool.groups, n)
    clean = pool.levels[rows]
    again = drawn(random, pool.rows(label), pool.groups, n)
    half = drawn(random, np.arange(len(reference)), reference.groups, n)
    kinds = {
        "clean": clean,
        # What memorising would score: fidelity cannot tell it from new images.
        "copies of training": pool.levels[again],
        "flip": damage.flipped(clean),
        "lower resolution": damage.lower_resolution(clean),
        "blur": damage.blurred(clean),
        "noise 1": damage.noisy(clean, 1.0, random),
        "noise 5": damage.noisy(clean, 5.0, random),
        "shuffle": damage.shuffled(clean, random),
        "collapse": damage.collapsed(clean),
    }
    if others is not None:
        few = min(n, len(others))  # KID does not depend on it; FD and coverage do
        rows = drawn(random, np.arange(len(others)), others.groups, few)
        kinds["other class"] = others.levels[rows]
    real = cache.features(reference.levels)[half]
    name, found = cache.extractor.name, []
    for done, (kind, levels) in enumerate(kinds.items(), 1):
        features = cache.features(levels)
        gram = Gram(np.concatenate([real, features]))
        a, b = np.arange(n), np.arange(n, n + len(levels))
        numbers = gram.prdc(a, b)
        found.append(
            {
                "damage": kind,
                f"kid_{name}": gram.kid(a, b),
                f"fd_{name}": gram.fd(a, b),
                "precision": numbers["precision"],
                "coverage": numbers["coverage"],
            }
        )
        tell(done, len(kinds))
    return sorted(found, key=lambda row: (row["damage"] != "clean", row[f"kid_{name}"]))
