"""Fidelity and diversity of one class, each number with its floor at the same n."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.distances import Gram
from evaluation.floors import WORSE_HIGH, WORSE_LOW, Measured
from evaluation.images import FEW, NO_VERDICT, Images, Protocol, Rows, drawn
from evaluation.msssim import ms_ssim
from evaluation.thumbnails import thumbnails, unit

SUBSETS = 8  # of the fakes, at most
Tick = Callable[[], None]


@dataclass(frozen=True)
class ClassSets:
    """One class: images and their features, row by row; training images as a pool for floors."""

    label: str
    pool: Images
    reference: Images
    fakes: Images
    features: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class ClassFidelity:
    label: str
    n: int  # images a side in each comparison
    n_real: int
    n_fake: int
    measured: Mapping[str, Measured]
    reference_msssim: float

    @property
    def estimable(self) -> bool:
        return min(self.n_real, self.n_fake) >= NO_VERDICT

    def as_dict(self) -> dict[str, Any]:
        """The fields of DESIGN.md, and whatever belongs to them."""
        found: dict[str, Any] = {"n": self.n, "n_real": self.n_real, "n_fake": self.n_fake}
        for name, each in self.measured.items():
            found |= {
                name: each.value, f"{name}_floor": each.floor, f"{name}_sd": each.deviation,
                f"{name}_interval": each.as_dict()["interval"], f"{name}_z": each.z,
                f"{name}_spread": each.as_dict()["sd"],
            }  # fmt: skip
        for name in self.measured:
            if name.startswith("fd_"):
                found[f"{name}_ratio"] = found[name] / max(found[f"{name}_floor"], 1e-9)
        found["coverage_ratio"] = found["coverage"] / max(found["coverage_floor"], 1e-9)
        found["msssim_fake"] = found.pop("msssim")
        found["msssim_real"] = self.reference_msssim
        found["estimable"] = self.estimable
        if min(self.n_real, self.n_fake) < FEW:
            found["warning"] = (
                f"{self.n_real} real and {self.n_fake} generated images: under {FEW} of either, "
                "small differences are not found."
            )
        return found


def equal_n(real: int, fake: int, pool: int, protocol: Protocol) -> int:
    """Images a side: what all three can give, the pool twice over."""
    return max(2, min(real, fake, pool // 2, protocol.largest))


def class_fidelity(
    sets: ClassSets, extractor: str, protocol: Protocol, random: np.random.Generator, tick: Tick
) -> ClassFidelity:
    """KID, FD, precision, density, coverage, MS-SSIM and duplicates of the fakes of a class."""
    pool, real, fakes = sets.pool, sets.reference, sets.fakes
    n = equal_n(len(real), len(fakes), len(pool), protocol)
    gram = Gram(np.concatenate(sets.features))
    small = unit(thumbnails(np.concatenate([pool.levels, real.levels, fakes.levels])))
    at_real, at_fake = len(pool), len(pool) + len(real)
    reference = at_real + drawn(random, np.arange(len(real)), real.groups, n)
    lonely = _nearest(small[reference], real.groups[reference - at_real])
    alike = float(np.quantile(lonely, 0.99))
    pairs = protocol.pairs

    def numbers(rows: Rows, images: Images, first: int, groups: Rows | None) -> dict[str, float]:
        own = rows - first
        near = _nearest(small[rows], None if groups is None else groups[own])
        return {
            f"kid_{extractor}": gram.kid(reference, rows),
            f"fd_{extractor}": gram.fd(reference, rows),
            **gram.prdc(reference, rows),
            "msssim": _pair_likeness(images, own, pairs, random, groups),
            "duplicates": float((near > alike).mean()),
        }

    floors: dict[str, list[float]] = {}
    for _ in range(protocol.draws):
        rows = drawn(random, np.arange(len(pool)), pool.groups, n)
        for name, value in numbers(rows, pool, 0, pool.groups).items():
            floors.setdefault(name, []).append(value)
        tick()
    subsets = min(SUBSETS, len(fakes) // n)
    order = random.permutation(len(fakes))
    values: dict[str, list[float]] = {}
    for i in range(subsets):
        rows = at_fake + np.sort(order[i * n : (i + 1) * n])
        for name, value in numbers(rows, fakes, at_fake, None).items():
            values.setdefault(name, []).append(value)
    share = n / len(pool)
    measured = {
        name: Measured(
            name,
            sets.label,
            float(np.mean(values[name])),
            float(np.std(values[name], ddof=1)) if subsets > 1 else float("nan"),
            np.array(floors[name]),
            share,
            WORSE_LOW if name in ("precision", "density", "coverage") else WORSE_HIGH,
            1.0 / n if name in ("precision", "coverage", "duplicates") else 1e-9,
        )
        for name in values
    }
    real_likeness = _pair_likeness(real, np.arange(len(real)), 2 * pairs, random, real.groups)
    return ClassFidelity(sets.label, n, len(real), len(fakes), measured, real_likeness)


def _nearest(rows: NDArray[np.float32], groups: Rows | None) -> NDArray[np.float32]:
    """Each one's correlation with the most like of the others (of other patients)."""
    found = rows @ rows.T
    if groups is None:
        np.fill_diagonal(found, -1.0)
    else:
        found[groups[:, None] == groups[None]] = -1.0
    nearest: NDArray[np.float32] = found.max(1)
    return nearest


def _pair_likeness(
    images: Images, rows: Rows, count: int, random: np.random.Generator, groups: Rows | None
) -> float:
    """Mean MS-SSIM of random pairs (of two patients)."""
    one = rows[random.integers(0, len(rows), count)]
    other = rows[random.integers(0, len(rows), count)]
    differ = one != other if groups is None else groups[one] != groups[other]
    one, other = one[differ], other[differ]
    return float(ms_ssim(images.levels[one], images.levels[other]).mean())
