"""Floors: what each number is when real images of other patients stand in for the fakes.

From the training images, sets as large as the fakes' are drawn by whole patients and measured
against the same reference.  Their spread says what a difference is.  Drawn from N images, sets of n
overlap: their variance is (1 - f) of an independent set's, f = n / N, and their mean wanders
with the N images by f of it; a new set differs from their mean by (1 + f), hence the factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WORSE_HIGH, WORSE_LOW = 1, -1
ANY, SHARE = (-math.inf, math.inf), (0.0, 1.0)  # bounds of a number
# Draws come from one pool, and a patient with unusual images is in it or is not: new patients
# vary more than its draws show.  Measured (benchmarks.lights): without it 10 to 13 % false alarms
# where 5 % are meant.
MARGIN = 1.3


@dataclass(frozen=True)
class Measured:
    """A number of the fakes beside its floor.

    floors: one of each draw; share: f above; worse: the direction in which it is; error: standard
    error over other seeds of the same generator.
    """

    metric: str
    label: str
    value: float
    spread: float | None  # sd between subsets of the fakes; None of one
    floors: NDArray[np.float64]
    share: float
    worse: int
    smallest: float = 1e-9  # of a step of the number, so that a spread of 0 divides nothing

    bounds: tuple[float, float] = ANY  # that it cannot pass
    error: float = 0.0

    @property
    def floor(self) -> float:
        return float(self.floors.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation of a new real set's number about the floor."""
        inflation = math.sqrt((1 + self.share) / (1 - self.share))
        return max(float(self.floors.std(ddof=1)) * inflation, self.smallest)

    @property
    def z(self) -> float:
        return self.worse * (self.value - self.floor) / self.deviation

    def null_z(self) -> NDArray[np.float64]:
        """The draws' own z, each about the mean of the others."""
        n = len(self.floors)
        others = (self.floors.sum() - self.floors) / (n - 1)
        sd = max(float(self.floors.std(ddof=1)), self.smallest)
        z: NDArray[np.float64] = self.worse * (self.floors - others) / sd
        return z

    @property
    def interval(self) -> list[float]:
        """95 %, of other seeds of the same generator against the same reference."""
        low, high = self.value - _T * self.error, self.value + _T * self.error
        return [max(low, self.bounds[0]), min(high, self.bounds[1])]


GROUPS = 10  # of the fakes, left out in turn
_T = 2.26  # Student's of GROUPS - 1 degrees, 97.5 %


def jackknife(without: NDArray[np.float64]) -> float:
    """Standard error of a number, from its values without each of GROUPS parts of the data."""
    count = len(without)
    return math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))


def share_error(share: float, n: int) -> float:
    """Standard error of a share of n, above 0 also where all or none are counted."""
    n, share = n + 4, (share * n + 2) / (n + 4)  # Agresti and Coull, 1998
    return math.sqrt(share * (1 - share) / n)


def bar(measured: list[Measured], level: float) -> float:
    """How far the worst of these may lie from its floor by chance, in z.

    The (1 - level) quantile of the draws' own largest z: however many numbers are looked at, and
    however they hang together, all of them raise one false alarm in 1 / level reports.
    """
    largest = np.max([each.null_z() for each in measured], axis=0)
    return MARGIN * float(np.quantile(largest, 1 - level))
