"""A number of many runs and one set of test patients, and how far it may be off.

Runs differ by draw (a generator, or at a smaller size a share of the training patients with its
generator) and within a draw by seed.  Patients are a sample, draws are a sample, and both must be
resampled for a statement about new ones.  That is the readers and cases of Obuchowski and Rockette
(1995): with the draws as readers,

    V = s²/D + c,   s² between the draws' values, c the covariance of two draws' errors

where c comes from resampling the patients (the same resample for every run): what all draws have in
common.  s² has the rest of the patients' part, which differs from draw to draw, so that nothing is
counted twice.  Seeds are nested in draws (studies.runs.network_seed), so that s² has their part,
too, and is taken as no less than what they make of it by themselves: three draws may come out alike
by chance.  Degrees of freedom are Satterthwaite's, of D - 1 and the patients' (Hillis 2007).
A single draw has its seeds as readers: its interval does not speak of other draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studies.student import both_tails, quantile

Array = NDArray[np.float64]
RESAMPLES = 1000
LEVEL = 0.95
_FEWEST = 0.5  # share of the resamples that must have a value


@dataclass(frozen=True)
class Draw:
    """Runs of one draw.  values: (S,); resampled: (S, B), of the same patients in each column."""

    values: Array
    resampled: Array


@dataclass(frozen=True)
class Estimate:
    """value; variance and df of its interval, nan where there is none.

    Standard deviations: patients, of the value; draws and seeds, of one among others (None: of
    one alone it is not known).
    """

    value: float
    variance: float
    df: float
    patients: float
    draws: float | None
    seeds: float | None

    @property
    def half(self) -> float:
        """Half the interval's length."""
        if not self.variance > 0:
            return 0.0 if self.variance == 0 else math.nan
        return quantile((1 + LEVEL) / 2, self.df) * math.sqrt(self.variance)

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - self.half, self.value + self.half

    @property
    def share_interval(self) -> tuple[float, float]:
        """Of a value from 0 to 1: on the logit's scale, so that it stays inside.

        Of a classifier that is never wrong (or always): what Clopper and Pearson say of a share of
        as many as the smaller class has patients.
        """
        value = self.value
        if self.variance == 0 and value in (0.0, 1.0):
            least = ((1 - LEVEL) / 2) ** (1 / (self.df + 1))
            return (least, 1.0) if value else (0.0, 1 - least)
        if not 0 < value < 1:
            low, high = self.interval
            return max(low, 0.0), min(high, 1.0)
        logit, half = math.log(value / (1 - value)), self.half / (value * (1 - value))
        return _share(logit - half), _share(logit + half)

    @property
    def p(self) -> float:
        """Of the two-sided test that the value is 0."""
        if not self.variance > 0:
            return math.nan if math.isnan(self.variance) or self.value == 0 else 0.0
        return both_tails(self.value / math.sqrt(self.variance), self.df)

    @property
    def spread(self) -> dict[str, float | None]:
        return {"patients": self.patients, "draws": self.draws, "seeds": self.seeds}


def resamples(
    groups: NDArray[np.int64], random: np.random.Generator, count: int = RESAMPLES
) -> Array:
    """How often each image is there when patients are drawn with replacement, (count, n)."""
    _, member = np.unique(groups, return_inverse=True)
    patients = int(member.max()) + 1
    drawn = random.multinomial(patients, np.full(patients, 1 / patients), count)
    found: Array = drawn.astype(np.float64)[:, member]
    return found


def patients_df(groups: NDArray[np.int64], positive: NDArray[np.bool_]) -> int:
    """Degrees of freedom of the patients' part: of the class that has fewer."""
    return max(1, min(len(np.unique(groups[positive == is_one])) for is_one in (True, False)) - 1)


def estimated(draws: Sequence[Draw], df: float) -> Estimate:
    """df: of the patients' part."""
    parts = Parts.of(draws)
    return _of(parts.value, [(parts.model, parts.model_df)], parts.shared, df, parts)


def apart(one: Sequence[Draw], other: Sequence[Draw]) -> list[Draw]:
    """Each draw's own difference, seed by seed; of the means where one arm has fewer seeds."""
    found = []
    for a, b in zip(one, other, strict=True):
        if len(a.values) != len(b.values):
            a, b = _mean(a), _mean(b)
        found.append(Draw(a.values - b.values, a.resampled - b.resampled))
    return found


def _mean(draw: Draw) -> Draw:
    return Draw(np.atleast_1d(draw.values.mean()), np.atleast_2d(draw.resampled.mean(0)))


def difference(
    one: Sequence[Draw],
    other: Sequence[Draw],
    paired: bool,
    df: float,
    differ: tuple[bool, bool] = (False, False),
) -> Estimate:
    """one - other.  paired: both have the same draws, whose own differences are then counted.

    differ: whether another training of each would end elsewhere; how far is taken from the other
    arm's runs, where there is one alone.  Both parts then are of one estimate, and are added before
    it is asked how well that is known.
    """
    if paired:
        found = estimated(apart(one, other), df)
        seeds = [Parts.of(each).seeds for each in (one, other)]
        return Estimate(
            found.value, found.variance, found.df, found.patients, found.draws, _together(seeds)
        )
    a, b = Parts.of(one), Parts.of(other)
    usable = ~np.isnan(a.mean) & ~np.isnan(b.mean)
    crossed = float(np.cov(a.mean[usable], b.mean[usable])[0, 1]) if usable.sum() > 1 else math.nan
    shared = a.shared + b.shared - 2 * crossed
    both = Parts(
        a.value - b.value, a.model + b.model, 0.0, 0.0, shared, a.mean - b.mean,
        _together([a.draws, b.draws]), _together([a.seeds, b.seeds]),
    )  # fmt: skip
    lone = [
        differs and sum(len(draw.values) for draw in runs) == 1
        for runs, differs in ((one, differ[0]), (other, differ[1]))
    ]
    models = [(a.model, a.model_df), (b.model, b.model_df)]
    if lone[0] != lone[1]:
        known = b if lone[0] else a
        models = [(known.model + known.single, known.model_df)]
    return _of(both.value, models, shared, df, both)


@dataclass(frozen=True)
class Parts:
    """model: s²/D with model_df; shared: c; mean: of all runs in each resample, (B,).

    single: the variance of one training among others, generator and all.
    draws, seeds: deviations of one among others, of draws' means and of seeds in a draw.
    """

    value: float
    model: float
    model_df: float
    single: float
    shared: float
    mean: Array
    draws: float | None
    seeds: float | None

    @classmethod
    def of(cls, draws: Sequence[Draw]) -> Parts:
        values = np.array([draw.values.mean() for draw in draws])
        resampled = np.array([draw.resampled.mean(0) for draw in draws])
        within = [draw.values.var(ddof=1) for draw in draws if len(draw.values) > 1]
        seeds = math.sqrt(float(np.mean(within))) if within else None
        apart = float(values.std(ddof=1)) if len(values) > 1 else None
        readers, errors = (
            (values, resampled) if len(draws) > 1 else (draws[0].values, draws[0].resampled)
        )
        count = len(readers)
        between = float(readers.var(ddof=1)) if count > 1 else 0.0
        model, model_df = between / count, max(count - 1, 1)
        if len(draws) == len(within) > 1:
            least = sum(w / len(d.values) for w, d in zip(within, draws, strict=True)) / count**2
            if least > model:
                model, model_df = float(least), sum(len(draw.values) - 1 for draw in draws)
        # A draw's mean has 1/S of what its seeds make, a single training all of it.
        rest = [d.values.var(ddof=1) * (1 - 1 / len(d.values)) for d in draws if len(d.values) > 1]
        single = count * model + (float(np.mean(rest)) if len(draws) > 1 and rest else 0.0)
        shared = _common(errors)
        return cls(
            float(values.mean()), model, model_df, single, shared, resampled.mean(0), apart, seeds
        )  # fmt: skip


def _common(errors: Array) -> float:
    """Mean covariance of two different readers' errors, (k, B); of one, its variance."""
    kept = errors[:, ~np.isnan(errors).any(0)]
    count = len(kept)
    if kept.shape[1] < max(2, _FEWEST * errors.shape[1]):
        return math.nan
    whole = float(kept.mean(0).var(ddof=1))
    if count == 1:
        return whole
    own = float(kept.var(1, ddof=1).mean())
    return (count * whole - own) / (count - 1)


def _of(
    value: float, models: list[tuple[float, float]], shared: float, df: float, parts: Parts
) -> Estimate:
    shared = max(shared, 0.0) if not math.isnan(shared) else shared
    variance, freedom = summed([*models, (shared, df)])
    if math.isnan(value):
        variance = freedom = math.nan
    return Estimate(
        value, variance, freedom, math.sqrt(shared) if shared >= 0 else math.nan,
        parts.draws, parts.seeds,
    )  # fmt: skip


def summed(terms: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The sum of variances with their degrees of freedom, and its own by Satterthwaite.

    The last term's where all are 0.
    """
    variance = sum(term for term, _ in terms)
    below = sum(term * term / freedom for term, freedom in terms)
    return variance, variance * variance / below if below > 0 else terms[-1][1]


def _together(deviations: Sequence[float | None]) -> float | None:
    known = [each for each in deviations if each is not None]
    return math.sqrt(sum(each * each for each in known)) if known else None


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))
