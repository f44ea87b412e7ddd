"""What readers' answers say: shares with intervals, agreement, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
DRAWS = 2000  # of a bootstrap
_Z = 1.959963984540054
_FEW = 10  # items with an error, or with a right answer: too few for an interval by variances


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """None for what cannot be estimated."""
        numbers = [_told(number) for number in (self.value, self.low, self.high)]
        return {"value": numbers[0], "interval": numbers[1:] if None not in numbers else None}


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def _told(number: float) -> float | None:
    return round(float(number), 6) if math.isfinite(number) else None


def wilson(right: int, count: int) -> Estimate:
    """A share with the score interval of Wilson (1927)."""
    return _score(right / count, count) if count else UNKNOWN


def _score(share: float, count: int) -> Estimate:
    z2 = _Z * _Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def mean_share(right: Bools, strata: NDArray[np.int64], these_readers: bool = False) -> Estimate:
    """The mean of readers x items (R, I), for readers and items like these.

    Both are drawn from many, so the variance is that of a two-way random-effects analysis,
    [MS(readers) + MS(items) - MS(rest)] / RI, with t by Satterthwaite as Hillis (2007) puts it.
    Readers are taken to differ by no less than the rest does, so that a few who agree by chance
    make no narrow interval.  Items vary within their stratum alone: a study has as many real as
    synthetic images, whatever is drawn.  One reader alone: Wilson's interval, of the items.  Where
    few items have an error at all, or few a right answer, their variance is known badly, and the
    interval is no shorter at either end than Wilson's would be.

    these_readers: for items like these, and these very readers.
    """
    readers, items = right.shape
    if not right.size:
        return UNKNOWN
    values = right.astype(np.float64)
    mean = float(values.mean())
    if readers == 1:
        return wilson(int(right.sum()), items)
    by_reader, by_item = values.mean(1), values.mean(0)
    stratum, cell = np.empty(items), np.empty_like(values)
    kinds = np.unique(strata)
    for kind in kinds:
        rows = strata == kind
        stratum[rows] = by_item[rows].mean()
        cell[:, rows] = values[:, rows].mean(1, keepdims=True)
    degrees = max(items - len(kinds), 1)
    rest = values - cell - (by_item - stratum)
    ms_rest = float(np.square(rest).sum()) / (degrees * (readers - 1))
    ms_items = readers * float(np.square(by_item - stratum).sum()) / degrees
    if these_readers:
        total, freedom = ms_items, float(degrees)
    else:
        ms_readers = max(items * float(by_reader.var(ddof=1)), ms_rest)
        total = ms_readers + max(ms_items - ms_rest, 0.0)
        freedom = (total / ms_readers) ** 2 * (readers - 1) if ms_readers else math.inf
    alone = _score(mean, items)  # readers may all be alike
    if total == 0:
        return alone
    half = t_quantile(0.975, freedom) * math.sqrt(total / (readers * items))
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    if min((by_item < 1).sum(), (by_item > 0).sum()) < _FEW:
        low, high = min(low, alone.low), max(high, alone.high)
    return Estimate(mean, low, high)


def t_quantile(p: float, freedom: float) -> float:
    """Student's t, for p above one half, by bisection."""
    if freedom > 1e5:
        return _Z if p == 0.975 else t_quantile(p, 1e5)
    low, high = 0.0, 1.0
    while _t_share(high, freedom) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_share(middle, freedom) < p else (low, middle)
    return (low + high) / 2


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)


def _t_share(t: float, freedom: float) -> float:
    """P(T <= t): with t = sqrt(f) tan(a) the density is cos(a)^(f - 1), times a constant."""
    angle = math.atan(t / math.sqrt(freedom))
    angles = angle * (_NODES + 1) / 2
    area = angle / 2 * float((_WEIGHTS * np.cos(angles) ** (freedom - 1)).sum())
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi) / 2
    return 0.5 + math.exp(constant) * area


def kappa(said: Bools) -> float:
    """Fleiss' kappa (1971) of readers x items (R, I), two answers: agreement beyond chance.

    Of two readers it is Scott's pi.  nan where all say one thing.
    """
    readers = len(said)
    ones = said.sum(0).astype(np.float64)
    agreed = (ones**2 + (readers - ones) ** 2 - readers) / (readers * (readers - 1))
    return _beyond_chance(float(agreed.mean()), float(said.mean()), float(said.mean()))


def cohen(one: Bools, other: Bools) -> float:
    """Cohen's kappa (1960) of two readers of the same items (I,), or of one reader twice."""
    return _beyond_chance(float((one == other).mean()), float(one.mean()), float(other.mean()))


def _beyond_chance(agreed: float, one: float, other: float) -> float:
    chance = one * other + (1 - one) * (1 - other)
    return (agreed - chance) / (1 - chance) if chance < 1 else math.nan


def resampled(strata: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Items drawn with replacement, as many of each stratum as there are."""
    drawn = np.arange(len(strata))
    for k in np.unique(strata):
        rows = np.flatnonzero(strata == k)
        drawn[rows] = random.choice(rows, len(rows))  # nosec B311 # NumPy
    return drawn


def kappa_estimate(said: Bools, strata: NDArray[np.int64], draws: int = DRAWS) -> Estimate:
    """Fleiss' kappa with a bootstrap interval over items.

    None where every resample has the same, as of readers who always agree; near 1 it is too short.
    """
    if len(said) < 2 or not said.shape[1]:
        return UNKNOWN
    random = np.random.default_rng(0)  # the same answers give the same interval
    found = np.array([kappa(said[:, resampled(strata, random)]) for _ in range(draws)])
    found = found[np.isfinite(found)]
    value = kappa(said)
    if not len(found) or not math.isfinite(value):
        return UNKNOWN
    low, high = map(float, np.quantile(found, (0.025, 0.975)))
    return Estimate(value, low, high) if low < high else replace(UNKNOWN, value=value)


def above(ratings: Floats, synthetic: Bools) -> Floats:
    """Whether each synthetic image is rated above each real one, (S, R): 1, 0, and 0.5 for ties."""
    up, down = ratings[synthetic][:, None], ratings[~synthetic]
    found: Floats = (up > down).astype(np.float64) + 0.5 * (up == down)
    return found


def resampled_areas(above: Floats, draws: int = DRAWS) -> Floats:
    """The area of images drawn with replacement, as many of each kind as there are; (draws,)."""
    random = np.random.default_rng(0)
    one, other = (random.multinomial(n, np.full(n, 1 / n), draws) / n for n in above.shape)
    found: Floats = ((one @ above) * other).sum(1)
    return found


def area(ratings: Floats, synthetic: Bools, draws: int = DRAWS) -> Estimate:
    """Area under the ROC curve of one reader's ratings, ties half.

    The interval is the bootstrap's over images, on the logit's scale, so that it holds near 1; of
    an area of 0 or 1 that of Clopper and Pearson for as many as there are of the rarer kind.  None
    of ratings that are all the same.
    """
    found = above(ratings, synthetic)
    if not found.size:
        return UNKNOWN
    error, value = float(resampled_areas(found, draws).std(ddof=1)), float(found.mean())
    if value in (0.0, 1.0):
        least = 0.025 ** (1 / min(found.shape))
        return Estimate(value, least, 1.0) if value else Estimate(value, 0.0, 1 - least)
    if error < 1e-9:  # of rounding alone
        return replace(UNKNOWN, value=value)
    logit, half = math.log(value / (1 - value)), _Z * error / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-end)) for end in (logit - half, logit + half))
    return Estimate(value, low, high)


def verdict(accuracy: Estimate, margin: float) -> str:
    """indistinguishable, told_apart, reversed or inconclusive.

    Indistinguishable is an equivalence: the whole interval lies within the margin around one half.
    """
    if not math.isfinite(accuracy.value):
        return "inconclusive"
    if 0.5 - margin < accuracy.low and accuracy.high < 0.5 + margin:
        return "indistinguishable"
    if accuracy.low > 0.5:
        return "told_apart"
    return "reversed" if accuracy.high < 0.5 else "inconclusive"


def median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None
