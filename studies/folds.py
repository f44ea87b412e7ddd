"""Numbers of a class of few: repeated folds by patients, their predictions pooled.

Two folds' classifiers do not share a scale, and pooling raw scores costs AUROC (their intercepts
run against the folds' shares of positives; Airola et al. 2011).  What is pooled for AUROC, AUPRC
and sensitivity is therefore each image's place among the negative images of its fold: the share of
them that it exceeds, ties half.  The AUROC of these is the mean of the folds' own; of scores of few
levels, as a reader's are, it is higher in every arm (5 levels, 100 positives among 300: by 0.004 on
average).  Brier score and calibration are of the probabilities as they are.

Intervals, chosen by simulation (benchmarks.study_coverage, docs/studies.md):

An arm's value: every image is tested once a repeat, but the folds' classifiers learn from one
another's test patients, so that their errors go together, and an interval from resampling patients
alone is too narrow (it holds the large test's value in 85 to 95%).  Nadeau and Bengio's corrected
resampled t (2003), variance x (1/J + n_test/n_train) of the J folds' values, depends on 10 folds of
20 positives, holds less often at the same mean length, and says nothing of sensitivity or
calibration.  What is taken is the bootstrap's variance of the repeats' mean times 1.7, chosen on
real radiographs, for every metric; of shares on the logit's scale.

A difference of two arms on the same folds: what the folds have in common cancels (the corrected t
is twice as wide and holds in 100%).  Patients are resampled, all repeats' mean at a time, and to
that variance is added what the folds' own generators and classifiers make of it: the variance
between the J folds' differences, less the mean of their own from resampling patients, over J.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studies.intervals import Array, Draw, Estimate, apart, summed

Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

WIDER = 1.7  # variance of an arm's value, above


def places(scores: Array, negatives: Array) -> Array:
    """Share of the negatives' scores that each score exceeds, ties half."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    found: Array = below / (2 * len(ordered))
    return found


def aligned(scores: Array, positive: Bools, fold: Rows) -> Array:
    """Pooled scores (n,) as places among the negatives of each image's fold."""
    found = np.empty(len(scores))
    for each in np.unique(fold):
        inside = fold == each
        found[inside] = places(scores[inside], scores[inside & ~positive])
    return found


def cross_validated(repeats: Sequence[Draw], df: float) -> Estimate:
    """An arm's value.  repeats: runs of each, all seeds, the same patients resampled."""
    each = np.array([repeat.resampled.mean(0) for repeat in repeats])
    return _estimate(repeats, WIDER * _variance(each.mean(0)), _variance(each.mean(0)), df)


def difference(
    one: Sequence[Draw],
    other: Sequence[Draw],
    one_folds: Sequence[Draw],
    other_folds: Sequence[Draw],
    df: float,
) -> Estimate:
    """one - other, on the same folds: all of a repeat's pooled, and each fold by itself."""
    found = apart(one, other)
    each = np.array([repeat.resampled.mean(0) for repeat in found])
    patients = _variance(each.mean(0))
    variance, freedom = summed([_model(apart(one_folds, other_folds)), (patients, df)])
    return _estimate(found, variance, patients, freedom)


def _model(folds: Sequence[Draw]) -> tuple[float, float]:
    """What the folds' own generators and classifiers do to their mean difference, and its df."""
    values = np.array([fold.values.mean() for fold in folds])
    own = np.array([_variance(fold.resampled.mean(0)) for fold in folds])
    known = ~np.isnan(values) & ~np.isnan(own)
    count = int(known.sum())
    if count < 2:
        return 0.0, 1.0
    more = float(values[known].var(ddof=1) - own[known].mean())
    return max(0.0, more) / count, count - 1.0


def _estimate(repeats: Sequence[Draw], variance: float, patients: float, df: float) -> Estimate:
    values = np.array([repeat.values.mean() for repeat in repeats])
    within = [repeat.values.var(ddof=1) for repeat in repeats if len(repeat.values) > 1]
    return Estimate(
        float(values.mean()),
        variance,
        df,
        math.sqrt(patients) if patients >= 0 else math.nan,
        float(values.std(ddof=1)) if len(values) > 1 else None,
        math.sqrt(float(np.mean(within))) if within else None,
    )


def _variance(errors: Array) -> float:
    kept = errors[~np.isnan(errors)]
    return float(kept.var(ddof=1)) if len(kept) > max(2, len(errors) / 2) else math.nan
