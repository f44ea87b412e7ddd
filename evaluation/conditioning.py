"""Do the fakes of a class look like that class?  KID between classes, and a judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.fidelity import equal_n
from evaluation.floors import SHARE, WORSE_LOW, Measured, share_error
from evaluation.images import Images, Protocol, Subject, drawn
from evaluation.probe import fitted, out_of_fold
from features.distances import Gram, kernel_of, mean_of_pairs

Features = NDArray[np.float32]
Array = NDArray[np.float64]
_REPEATS = 5
_MOST = 500  # images of a class


def kid_matrix(
    subject: Subject, reference: Features, fakes: Features, extractor: str,
    random: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    """KID of each class's fakes to each class's real images, at one n; mean and sd of repeats."""
    real, made = subject.reference, subject.fakes
    count = len(subject.labels)
    n = min([len(real.rows(k)) for k in range(count)] + [len(made.rows(k)) for k in range(count)])
    n = max(2, min(n * 4 // 5, _MOST))  # repeats must differ where the smallest class is used up
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
    return {
        "metric": f"kid_{extractor}",
        "n": n,
        "mean": values.mean(0).tolist(),
        "sd": values.std(0, ddof=1).tolist(),
        "rows": "generated",
        "columns": "real",
    }


@dataclass(frozen=True)
class Margin:
    """How much nearer a class's fakes lie to it than to the nearest other, its rival, in KID."""

    measured: Measured
    rival: str

    def as_dict(self, verdict: str) -> dict[str, Any]:
        m = self.measured
        return {
            "rival": self.rival, "margin": m.value, "margin_floor": m.floor,
            "margin_sd": m.deviation, "margin_z": m.z, "verdict": verdict,
        }  # fmt: skip


def margins(
    subject: Subject, fakes: Features, pool: tuple[Images, Features],
    reference: tuple[Images, Features], protocol: Protocol, random: np.random.Generator,
) -> list[Margin]:  # fmt: skip
    """One a class; floors from real images of it, which may lie near another class, too.

    KID(x, other) - KID(x, own), in which what is within x cancels: means of the kernel remain.
    """
    count = len(subject.labels)
    rows = [drawn(random, reference[0].rows(k), reference[0].groups, _MOST) for k in range(count)]
    real = [reference[1][own] for own in rows]
    within = [mean_of_pairs(_kernel(each, each)) for each in real]
    found = []
    for label, name in enumerate(subject.labels):
        others = [k for k in range(count) if k != label]

        def of(vectors: Features, label: int = label, others: list[int] = others) -> Array:
            """Margin of each vector to each other class, (n, count - 1); sets have its mean."""
            own = within[label] - 2 * _kernel(vectors, real[label]).mean(1)
            far = [within[k] - 2 * _kernel(vectors, real[k]).mean(1) for k in others]
            margin: Array = np.stack(far, 1) - own[:, None]
            return margin

        own = drawn(random, pool[0].rows(label), pool[0].groups, protocol.pool)
        groups, made = pool[0].groups[own], subject.fakes.rows(label)
        n = equal_n(len(rows[label]), len(made), len(own), protocol)
        of_pool, of_fakes = of(pool[1][own]), of(fakes[made]).mean(0)
        floors = [
            of_pool[drawn(random, np.arange(len(own)), groups, n)].mean(0).min()
            for _ in range(protocol.draws)
        ]
        measured = Measured(
            "class KID", name, float(of_fakes.min()), None, np.array(floors), n / len(own),
            WORSE_LOW,
        )  # fmt: skip
        found.append(Margin(measured, subject.labels[others[int(of_fakes.argmin())]]))
    return found


def _kernel(one: Features, other: Features) -> Array:
    """KID's kernel, (n, m)."""
    return kernel_of((one @ other.T).astype(np.float64), one.shape[1])


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
                WORSE_LOW, 1.0 / n, SHARE, share_error(value, len(made)),
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
