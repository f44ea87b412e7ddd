"""Do the fakes of a class look like that class?  KID between classes, and a judge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.floors import WORSE_LOW, Measured
from evaluation.images import Protocol, Subject, drawn
from evaluation.probe import fitted, out_of_fold
from features.distances import Gram

Features = NDArray[np.float32]
_REPEATS = 5


def kid_matrix(
    subject: Subject, reference: Features, fakes: Features, extractor: str,
    random: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    """KID of each class's fakes to each class's real images, at one n; mean and sd of repeats."""
    real, made = subject.reference, subject.fakes
    count = len(subject.labels)
    n = min([len(real.rows(k)) for k in range(count)] + [len(made.rows(k)) for k in range(count)])
    n = max(2, min(n * 4 // 5, 500))  # repeats must differ where the smallest class is used up
    values = np.zeros((_REPEATS, count, count))
    for repeat in range(_REPEATS):
        real_rows = [drawn(random, real.rows(k), real.groups, n) for k in range(count)]
        fake_rows = [random.permutation(made.rows(k))[:n] for k in range(count)]
        gram = Gram(
            np.concatenate([*(reference[r] for r in real_rows), *(fakes[r] for r in fake_rows)])
        )
        for i in range(count):
            for j in range(count):
                a = np.arange(j * n, (j + 1) * n)
                b = np.arange((count + i) * n, (count + i + 1) * n)
                values[repeat, i, j] = gram.kid(a, b)
    mean, spread = values.mean(0), values.std(0, ddof=1)
    nearest = {}
    for i, label in enumerate(subject.labels):
        others = [j for j in range(count) if j != i]
        rival = min(others, key=lambda j: mean[i, j])
        sd = float(np.hypot(spread[i, i], spread[i, rival]))
        margin = float(mean[i, rival] - mean[i, i])
        nearest[label] = {
            "rival": subject.labels[rival],
            "margin": margin,
            "margin_sd": sd,
            "verdict": "own" if margin > 2 * sd else "other" if margin < -2 * sd else "tie",
        }
    return {
        "metric": f"kid_{extractor}",
        "n": n,
        "mean": mean.tolist(),
        "sd": spread.tolist(),
        "rows": "generated",
        "columns": "real",
        "nearest": nearest,
    }


def agreement(
    subject: Subject, train: Features, reference: Features, fakes: Features, protocol: Protocol,
    random: np.random.Generator,
) -> tuple[dict[str, Any], list[Measured]]:  # fmt: skip
    """How often a judge, trained on real images, sees the class that was asked for."""
    assert subject.train is not None
    count, real = len(subject.labels), subject.train
    judged_train = out_of_fold(train, real.classes, real.groups, count, random).argmax(1)
    judge = fitted(train, real.classes, count)
    judged_real = judge.probabilities(reference).argmax(1)
    judged_fake = judge.probabilities(fakes).argmax(1)
    labels, measured = {}, []
    for k, label in enumerate(subject.labels):
        own, made = subject.reference.rows(k), subject.fakes.rows(k)
        pool = real.rows(k)
        n = max(2, min(len(own), len(made), len(pool) // 2, protocol.largest))
        floors = [
            float((judged_train[drawn(random, pool, real.groups, n)] == k).mean())
            for _ in range(protocol.draws)
        ]
        value = float((judged_fake[made] == k).mean())
        measured.append(
            Measured(
                "label_agreement", label, value, None, np.array(floors), n / len(pool),
                WORSE_LOW, 1.0 / n, True,
            )
        )  # fmt: skip
        shares = np.bincount(judged_fake[made], minlength=count) / len(made)
        labels[label] = {
            "agreement": value,
            "agreement_floor": measured[-1].floor,
            "agreement_sd": measured[-1].deviation,
            "agreement_reference": float((judged_real[own] == k).mean()),
            "predicted": dict(zip(subject.labels, shares.tolist(), strict=True)),
        }
    return labels, measured
