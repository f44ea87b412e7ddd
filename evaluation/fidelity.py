"""Fidelity and diversity of one class, each number with its floor at the same n."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.floors import ANY, GROUPS, SHARE, WORSE_HIGH, WORSE_LOW, Measured, jackknife
from evaluation.images import FEW, Images, Protocol, Rows, drawn
from evaluation.msssim import ms_ssim
from evaluation.views import Views
from features.distances import Gram

SUBSETS = 8  # of the fakes, at most
_PAIR_POOL = 2000  # pairs of real images whose MS-SSIM the floors draw from, at most
_PAIRS_EACH = 20  # of one image: more of a few tell little that is new
_LOW = ("precision", "density", "coverage")  # worse when lower
_BOUNDS = {"precision": SHARE, "coverage": SHARE, "duplicates": SHARE, "density": (0.0, math.inf)}
Tick = Callable[[], None]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class ClassFidelity:
    label: str
    n: int  # images a side in each comparison
    n_real: int
    n_fake: int
    measured: Mapping[str, Measured]
    reference_msssim: float
    estimable: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields of the report, each number with its floor."""
        found: dict[str, Any] = {"n": self.n, "n_real": self.n_real, "n_fake": self.n_fake}
        for name, each in self.measured.items():
            found |= as_fields(each)
            if name.startswith("fd_") or name == "coverage":
                found[f"{name}_ratio"] = each.value / max(each.floor, 1e-9)
        found["msssim_fake"] = found.pop("msssim")
        found["msssim_real"] = self.reference_msssim
        found["estimable"] = self.estimable
        if min(self.n_real, self.n_fake) < FEW:
            found["warning"] = (
                f"{self.n_real} real and {self.n_fake} generated images: under {FEW} of either, "
                "small differences are not found."
            )
        return found


def as_fields(each: Measured) -> dict[str, Any]:
    """A number with its floor, as the report names them."""
    name = each.metric
    return {
        name: each.value, f"{name}_floor": each.floor, f"{name}_sd": each.deviation,
        f"{name}_interval": each.interval, f"{name}_error": each.error, f"{name}_z": each.z,
        f"{name}_spread": each.spread,
    }  # fmt: skip


def equal_n(real: int, fake: int, pool: int, protocol: Protocol) -> int:
    """Images a side: what all three can give, the pool twice over."""
    return max(2, min(real, fake, pool // 2, protocol.largest))


class Comparison:
    """n reference images of a class, and what sets of n are measured against them."""

    def __init__(self, reference: Views, n: int, extractor: str, protocol: Protocol,
                 random: np.random.Generator) -> None:  # fmt: skip
        rows = drawn(random, np.arange(len(reference.images)), reference.images.groups, n)
        self.reference, self.n = reference.taken(rows), len(rows)
        self.extractor, self.protocol, self.random = extractor, protocol, random
        lonely = _nearest(self.reference.small, self.reference.images.groups)
        self.alike = float(np.quantile(lonely, 0.99))
        self._real = np.arange(self.n)

    def _numbers(
        self, gram: Gram, rows: Rows, found: Views, groups: Rows | None = None
    ) -> dict[str, float]:
        near = _nearest(found.small, groups)
        return {
            f"kid_{self.extractor}": gram.kid(self._real, rows),
            f"fd_{self.extractor}": gram.fd(self._real, rows),
            **gram.prdc(self._real, rows),
            "duplicates": float((near > self.alike).mean()),
        }

    def floors(self, pool: Views, tick: Tick) -> dict[str, NDArray[np.float64]]:
        """Numbers of sets drawn from the training images, protocol.draws of each."""
        gram = Gram(np.concatenate([self.reference.features, pool.features]))
        likeness = _pool_likeness(pool.images, self.random)
        found: dict[str, list[float]] = {}
        everything = np.arange(len(pool.images))
        pairs = max(1, min(self.protocol.pairs, self.n // 2))
        for _ in range(self.protocol.draws):
            rows = drawn(self.random, everything, pool.images.groups, self.n)
            set_ = Views(pool.images, pool.features, pool.small[rows])
            numbers = self._numbers(gram, self.n + rows, set_, pool.images.groups[rows])
            numbers["msssim"] = float(self.random.choice(likeness, pairs).mean())
            for name, value in numbers.items():
                found.setdefault(name, []).append(value)
            tick()
        return {name: np.array(values) for name, values in found.items()}

    def fakes(
        self, fakes: Views
    ) -> tuple[dict[str, float], dict[str, float | None], dict[str, float]]:
        """Means over subsets of n without an image in common, deviations and standard errors."""
        subsets = max(1, min(SUBSETS, len(fakes.images) // self.n))
        order = self.random.permutation(len(fakes.images))
        values: dict[str, list[float]] = {}
        errors: dict[str, float] = {}
        for i in range(subsets):
            part = fakes.taken(np.sort(order[i * self.n : (i + 1) * self.n]))
            gram = Gram(np.concatenate([self.reference.features, part.features]))
            rows = np.arange(self.n, self.n + len(part.images))
            numbers = self._numbers(gram, rows, part)
            likeness = pair_likeness(part.images, self.protocol.pairs, self.random)
            numbers["msssim"] = float(likeness.mean())
            for name, value in numbers.items():
                values.setdefault(name, []).append(value)
            if i == 0:  # as many images as in the others: what it varies by, they do
                errors = self._errors(gram, rows, part)
                errors["msssim"] = float(likeness.std()) / math.sqrt(max(1, len(likeness) - 1))
        spread = {
            name: float(np.std(each, ddof=1)) if subsets > 1 else None
            for name, each in values.items()
        }
        means = {name: float(np.mean(each)) for name, each in values.items()}
        return means, spread, {name: each / math.sqrt(subsets) for name, each in errors.items()}

    def _errors(self, gram: Gram, rows: Rows, part: Views) -> dict[str, float]:
        """Standard errors of a subset's numbers: every tenth of its images left out in turn."""
        without: dict[str, list[float]] = {}
        for group in range(GROUPS):
            kept = np.flatnonzero(np.arange(len(rows)) % GROUPS != group)
            few = Views(part.images, part.features, part.small[kept])
            for name, value in self._numbers(gram, rows[kept], few).items():
                without.setdefault(name, []).append(value)
        return {name: jackknife(np.array(each)) for name, each in without.items()}

    def measured(
        self, label: str, fakes: Views, floors: Mapping[str, NDArray[np.float64]], share: float
    ) -> dict[str, Measured]:
        values, spread, errors = self.fakes(fakes)
        found = {}
        for name, value in values.items():
            step = 1.0 / self.n if name in _BOUNDS else 1e-9  # what is counted has no smaller ones
            found[name] = Measured(
                name, label, value, spread[name], floors[name], share,
                WORSE_LOW if name in _LOW else WORSE_HIGH, step, _BOUNDS.get(name, ANY),
                max(errors[name], step),
            )  # fmt: skip
        return found


def class_fidelity(
    label: str, pool: Views, reference: Views, fakes: Views, extractor: str,
    protocol: Protocol, random: np.random.Generator, tick: Tick,
) -> ClassFidelity:  # fmt: skip
    """KID, FD, precision, density, coverage, MS-SSIM and duplicates of the fakes of a class."""
    n = equal_n(len(reference.images), len(fakes.images), len(pool.images), protocol)
    comparison = Comparison(reference, n, extractor, protocol, random)
    floors = comparison.floors(pool, tick)
    measured = comparison.measured(label, fakes, floors, n / len(pool.images))
    likeness = pair_likeness(reference.images, 2 * protocol.pairs, random)
    sizes = len(reference.images), len(fakes.images)
    estimable = min(sizes) >= protocol.no_verdict and n >= protocol.no_verdict // 2
    return ClassFidelity(label, n, *sizes, measured, float(likeness.mean()), estimable)


def _nearest(rows: NDArray[np.float32], groups: Rows | None) -> NDArray[np.float32]:
    """Each one's correlation with the most like of the others (of other patients)."""
    found = rows @ rows.T
    if groups is None:
        np.fill_diagonal(found, -1.0)
    else:
        found[groups[:, None] == groups[None]] = -1.0
    nearest: NDArray[np.float32] = found.max(1)
    return nearest


def _pool_likeness(images: Images, random: np.random.Generator) -> NDArray[np.float64]:
    """MS-SSIM of many pairs of real images; an image is in several."""
    passes = min(_PAIRS_EACH, -(-_PAIR_POOL // max(1, len(images) // 2)))
    found = [pair_likeness(images, _PAIR_POOL, random) for _ in range(passes)]
    return np.concatenate(found)[:_PAIR_POOL]


def pair_likeness(images: Images, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """MS-SSIM of random pairs of two groups each; a single 1 where there is no such pair."""
    # No image is in two pairs, so that their mean varies as the floors' does.
    order = random.permutation(len(images))[: 2 * min(count, len(images) // 2)]
    one, other = order[::2], order[1::2]
    differ = images.groups[one] != images.groups[other]
    if not differ.any():
        return np.ones(1)
    return ms_ssim(images.levels[one[differ]], images.levels[other[differ]])
