"""A first look at usefulness: does a linear probe learn from the fakes?

Trained on real images, on synthetic ones alone, on real and synthetic ones, and on real and as
many duplicates of real ones; tested on the reference, whose patients none of them has seen.  The
intervals are by patients (bootstrap).  A look, not a verdict: a probe on ImageNet features is not
the classifier that will be used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Rows, Subject
from evaluation.probe import balanced_accuracy, fitted, macro_auroc

RESAMPLES = 1000
DUPLICATE_SEEDS = 5
ARMS = ("real", "synthetic", "real_and_synthetic", "real_and_duplicates")
Features = NDArray[np.float32]


def usefulness(
    subject: Subject, train: Features, reference: Features, fakes: Features,
    random: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    """AUROC (macro, one against the rest) and balanced accuracy of each arm, and the gain."""
    assert subject.train is not None
    count, real, made = len(subject.labels), subject.train.classes, subject.fakes.classes
    added = [min(int((made == k).sum()), int((real == k).sum())) for k in range(count)]
    chosen = np.concatenate(
        [random.permutation(np.flatnonzero(made == k))[:n] for k, n in enumerate(added)]
    )
    tested = subject.reference.classes
    duplicates = []
    for _ in range(DUPLICATE_SEEDS):
        again = np.concatenate(
            [random.choice(np.flatnonzero(real == k), n) for k, n in enumerate(added)]  # nosec B311 # NumPy
        )
        rows = np.concatenate([np.arange(len(real)), again])
        duplicates.append(fitted(train[rows], real[rows], count).probabilities(reference))
    both = np.concatenate([train, fakes[chosen]])
    answers = {
        "real": [fitted(train, real, count).probabilities(reference)],
        "synthetic": [fitted(fakes, made, count).probabilities(reference)],
        "real_and_synthetic": [
            fitted(both, np.concatenate([real, made[chosen]]), count).probabilities(reference)
        ],
        "real_and_duplicates": duplicates,
    }
    weights = _resampled(subject.reference.groups, random)
    spread = {
        arm: np.array([np.mean([macro_auroc(p, tested, w) for p in found]) for w in weights])
        for arm, found in answers.items()
    }
    arms: dict[str, dict[str, Any]] = {
        arm: {
            "auroc": float(np.mean([macro_auroc(p, tested) for p in found])),
            "auroc_interval": _interval(spread[arm]),
            "balanced_accuracy": float(np.mean([balanced_accuracy(p, tested) for p in found])),
        }
        for arm, found in answers.items()
    }
    gains = spread["real_and_synthetic"] - spread["real_and_duplicates"]
    gain = arms["real_and_synthetic"]["auroc"] - arms["real_and_duplicates"]["auroc"]
    return {
        "arms": arms,
        "added": dict(zip(subject.labels, added, strict=True)),
        "gain_over_duplicates": gain,
        "gain_interval": _interval(gains),
        "gap_synthetic_to_real": arms["synthetic"]["auroc"] - arms["real"]["auroc"],
        "gap_interval": _interval(spread["synthetic"] - spread["real"]),
        "resamples": RESAMPLES,
        "n_test": len(tested),
    }


def _resampled(groups: Rows, random: np.random.Generator) -> list[NDArray[np.float64]]:
    """How often each image is there when patients are drawn with replacement."""
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    return [
        np.bincount(random.integers(0, count, count), minlength=count)[member].astype(np.float64)
        for _ in range(RESAMPLES)
    ]


def _interval(values: NDArray[np.float64]) -> list[float]:
    values = values[~np.isnan(values)]
    return [float(x) for x in np.quantile(values, (0.025, 0.975))]
