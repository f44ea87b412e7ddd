"""Do the intervals of a small_class study hold the value of a large test?

    python -m benchmarks.study_coverage FOLDER [--draws 200]     real radiographs
    python -m benchmarks.study_coverage --planted [--draws 400]  Gaussian features

FOLDER holds the public chest X-ray set with its manifest.csv (file, finding, group).  In each draw
the patients are dealt anew: to the study, with some 110 VIRUS images of whole patients beside all
BACTERIA images of its patients, and to the large test, with all of its VIRUS and BACTERIA images.
The study is the small_class one: 5 folds by patients, twice, and in each fold a classifier (linear
probe on the first 64 principal components of EfficientNet-Lite0's features at 64 pixels) of each
arm: real images; duplicates; and real with as many synthetic ones, which are Gaussian features
fitted to the fold's training images and shifted a little, by another shift in every fold.  How
often does the 95% interval hold the mean of the folds' classifiers on the large test?  And, of a
difference, the mean of all draws' (what the arms are worth with other patients, generators and
classifiers)?  The large test's images weigh so that its share of positive ones is the study's, on
which AUPRC, Brier score and calibration depend.  Tables: docs/studies.md.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks.study_draws import Array, Deal, Images, planted, radiographs
from library.studies.config import METRICS
from library.studies.resolving import resolve
from studies import contrasts, metrics
from studies.intervals import Estimate
from studies.predictions import Arm, Predictions
from studies.student import quantile

PENALTY = 0.005  # of the difference of two classes' weights, as evaluation.probe has 0.01 of each
SHIFT = 1.0  # of the planted generator: length, in deviations
FOLDS, REPEATS = 5, 2
REAL, DUPLICATES, SYNTHETIC = (
    Arm("probe", "real"), Arm("probe", "duplicates", 1.0), Arm("probe", "real_synthetic", 1.0),
)  # fmt: skip


def probe(features: Array, positive: NDArray[np.bool_]) -> Callable[[Array], Array]:
    """Logistic regression by Newton's method; both classes weigh the same."""
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    x = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    share = np.where(positive, 1 / positive.sum(), 1 / (~positive).sum()) / 2
    penalty = np.full(x.shape[1], PENALTY)
    penalty[-1] = 1e-9
    at = np.zeros(x.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-x @ at))
        slope = x.T @ (share * (p - positive)) + penalty * at
        bend = (x * (share * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        at -= step
        if np.abs(step).max() < 1e-4:
            break
    weights, bias = at[:-1], at[-1]

    def probabilities(given: Array) -> Array:
        found: Array = 1 / (1 + np.exp(-((given - mean) / deviation @ weights + bias)))
        return found

    return probabilities


def folded(study: Images, random: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each image, by patients; those with positive images are dealt by themselves."""
    fold = np.zeros(study.groups.max() + 1, np.int64)
    with_positive = np.unique(study.groups[study.positive])
    for patients in (with_positive, np.setdiff1d(np.unique(study.groups), with_positive)):
        fold[random.permutation(patients)] = np.arange(len(patients)) % FOLDS
    return fold[study.groups]


def trained_on(train: Images, arm: Arm, random: np.random.Generator) -> Images:
    if arm == REAL:
        return train
    features, positive = [train.features], [train.positive]
    for is_positive in (False, True):
        rows = np.flatnonzero(train.positive == is_positive)
        if arm == DUPLICATES:
            features.append(train.features[random.choice(rows, len(rows))])
        else:
            own = train.features[rows]
            wide = 0.9 * np.cov(own.T) + 0.1 * np.diag(own.var(0))
            shift = random.normal(size=own.shape[1]) * own.std(0) * SHIFT / math.sqrt(own.shape[1])
            features.append(
                random.multivariate_normal(own.mean(0) + shift, wide, len(rows), method="cholesky")
            )
        positive.append(np.full(len(rows), is_positive))
    return Images(np.concatenate(features), np.concatenate(positive), train.groups)


@dataclass
class Trial:
    """Predictions of a study, and each arm's folds by each metric: on their own tests and on the
    large one."""

    predictions: Predictions
    own: dict[Arm, dict[str, Array]]
    large: dict[Arm, dict[str, Array]]


def trial(deal: Deal, random: np.random.Generator, seed: int, names: tuple[str, ...]) -> Trial:
    study, large = deal(random)
    config = resolve(
        {
            "kind": "small_class", "positive": "VIRUS", "classifiers": ["probe"], "seed": seed,
            "primary_classifier": "probe", "folds": FOLDS, "repeats": REPEATS,
        }
    )  # fmt: skip
    tests, runs = {}, {arm: {} for arm in (REAL, DUPLICATES, SYNTHETIC)}  # type: ignore[var-annotated]
    own: dict[Arm, list[dict[str, Array]]] = {arm: [] for arm in runs}
    far: dict[Arm, list[dict[str, Array]]] = {arm: [] for arm in runs}
    share, shares = study.positive.mean(), large.positive.mean()
    as_in_study = np.where(large.positive, share / shares, (1 - share) / (1 - shares))[None]
    for repeat in range(REPEATS):
        fold = folded(study, random)
        for k in range(FOLDS):
            name, inside = f"r{repeat}f{k}", fold == k
            tests[name] = np.flatnonzero(inside)
            for arm in runs:
                train = trained_on(study.taken(~inside), arm, random)
                asked = probe(train.features, train.positive)
                scores = asked(study.features[inside])
                runs[arm][name, 0] = scores[None]
                tested = study.positive[inside]
                for told, positive, weights, found in (
                    (scores, tested, metrics.once(len(tested)), own),
                    (asked(large.features), large.positive, as_in_study, far),
                ):
                    found[arm].append(
                        metrics.measured(told, positive, weights, config.specificity, names)
                    )
    prepared = {"positive": 1, "labels": ["BACTERIA", "VIRUS"], "partitions": {}}
    predictions = Predictions(
        config, prepared, study.positive.astype(np.int64), study.groups, tests,
        np.zeros(0, np.int64), runs,
    )  # fmt: skip
    return Trial(predictions, *({a: _by_metric(each) for a, each in x.items()} for x in (own, far)))


def _by_metric(folds: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.array([each[name][0] for each in folds]) for name in folds[0]}


Interval = tuple[float, float]


def intervals_of(found: Trial) -> dict[tuple[str, str], tuple[Interval, float]]:
    """By what it is of and how it was made: an interval, and the large test's value."""
    of = contrasts.images_of(found.predictions, 1.0)
    rows = {}
    for metric in found.own[REAL]:
        config = replace(found.predictions.config, metric=metric)
        predictions = replace(found.predictions, config=config)
        measured = {arm: contrasts.measure(predictions, of, arm, (metric,)) for arm in found.own}
        for arm in found.own:
            value = contrasts.value(of, measured[arm], metric)
            fold = resampled_t(found.own[arm][metric])
            made = {"as in studies.folds": value, "folds' corrected t, logit": fold}
            for factor in (1.0, 1.4, 2.0):
                wide = Estimate(value.value, factor * value.patients**2, of.df, 0, None, None)
                made["patients resampled" if factor == 1 else f"patients x {factor}"] = wide
            name = f"{metric}, {arm.name}"
            truth = float(np.nanmean(found.large[arm][metric]))
            for how, estimate in made.items():
                rows[name, how] = contrasts.interval(estimate, metric), truth
            rows[name, "folds' corrected t"] = fold.interval, truth
        if metric not in METRICS:  # arms are not held against one another by it
            continue
        for arm, control in ((SYNTHETIC, DUPLICATES), (SYNTHETIC, REAL), (DUPLICATES, REAL)):
            difference = contrasts.contrast(predictions, of, measured[arm], measured[control])
            truth = float(np.nanmean(found.large[arm][metric] - found.large[control][metric]))
            name = f"{metric}, {arm.name} - {control.name}"
            rows[name, "as in studies.folds"] = difference.interval, truth
            own = replace(difference, variance=difference.patients**2, df=of.df)
            rows[name, "patients resampled"] = own.interval, truth
            fold = resampled_t(found.own[arm][metric] - found.own[control][metric])
            rows[name, "folds' corrected t"] = fold.interval, truth
    return rows


def resampled_t(values: Array) -> Estimate:
    """Nadeau and Bengio's, of the folds' own values."""
    values = values[~np.isnan(values)]
    variance = float(values.var(ddof=1)) * (1 / len(values) + 1 / (FOLDS - 1))
    return Estimate(float(values.mean()), variance, len(values) - 1, 0, None, None)


_deal: Deal
_metrics: tuple[str, ...]


def _one(given: tuple[int, int]) -> dict[tuple[str, str], tuple[Interval, float]]:
    seed, draw = given
    return intervals_of(trial(_deal, np.random.default_rng([seed, draw]), draw, _metrics))


def main() -> None:
    global _deal, _metrics, FOLDS, REPEATS, SHIFT
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--apart", type=float, default=1.5)
    parser.add_argument("--shift", type=float, default=SHIFT)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--metrics", nargs="+", default=["auroc"], choices=metrics.NAMES)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    _metrics = tuple(given.metrics)
    FOLDS, REPEATS, SHIFT = given.folds, given.repeats, given.shift
    if given.planted == (given.folder is not None):
        parser.error("give either a folder or --planted")
    _deal = planted(given.components, given.apart) if given.planted else radiographs(given.folder)
    held: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    draws = [(given.seed, draw) for draw in range(given.draws)]
    with multiprocessing.get_context("fork").Pool(given.processes) as pool:
        for found in pool.imap(_one, draws):
            for key, ((low, high), truth) in found.items():
                held.setdefault(key, []).append((low, high, truth))
    print(f"{given.draws} draws of a study of {FOLDS} folds, {REPEATS} times\n")
    heads = ("of", "interval", "held", "±", "all draws' mean held", "mean length", "large test")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for (name, method), rows in held.items():
        low, high, truth = np.array(rows).T
        share, mean = np.mean((low <= truth) & (truth <= high)), truth.mean()
        every = np.mean((low <= mean) & (mean <= high))
        error = quantile(0.975, 1e9) * math.sqrt(share * (1 - share) / len(rows))
        length = np.mean(high - low)
        print(
            f"| {name} | {method} | {share:.1%} | {error:.1%} | {every:.1%} | {length:.4f} "
            f"| {mean:.4f} |"
        )


if __name__ == "__main__":
    main()
