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
classifiers)?  Table: docs/studies.md.
"""

from __future__ import annotations

import argparse
import csv
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

from features.extractors import FeatureCache, efficientnet_lite0
from library.images import load_grey
from library.studies.resolving import resolve
from studies import contrasts, metrics
from studies.intervals import Estimate
from studies.predictions import Arm, Predictions
from studies.student import quantile

Array = NDArray[np.float64]
SMALL, COMPONENTS, SIDE = 110, 64, 64
STUDY_SHARE = 0.35  # of the patients, the rest is the large test
PENALTY = 0.005  # of the difference of two classes' weights, as evaluation.probe has 0.01 of each
SHIFT = 1.0  # of the planted generator: length, in deviations
FOLDS, REPEATS = 5, 2
REAL, DUPLICATES, SYNTHETIC = (
    Arm("probe", "real"), Arm("probe", "duplicates", 1.0), Arm("probe", "real_synthetic", 1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Images:
    features: Array
    positive: NDArray[np.bool_]
    groups: NDArray[np.int64]

    def taken(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Images:
        return Images(self.features[rows], self.positive[rows], self.groups[rows])


Deal = Callable[[np.random.Generator], tuple[Images, Images]]  # study and large test


def radiographs(folder: Path) -> Deal:
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        lines = [row for row in csv.DictReader(file) if row["finding"] in ("VIRUS", "BACTERIA")]
    levels = np.stack([load_grey(folder / row["file"], SIDE, "crop") for row in lines])
    cache = FeatureCache(efficientnet_lite0(), Path.home() / ".cache/synthorax/features")
    features = cache.features(levels).astype(np.float64)
    features -= features.mean(0)
    _, _, axes = np.linalg.svd(features, full_matrices=False)
    points = features @ axes[:COMPONENTS].T
    positive = np.array([row["finding"] == "VIRUS" for row in lines])
    _, groups = np.unique([row["group"] for row in lines], return_inverse=True)
    everything = Images(points, positive, groups.astype(np.int64))

    def deal(random: np.random.Generator) -> tuple[Images, Images]:
        order = random.permutation(everything.groups.max() + 1)
        mine = order < STUDY_SHARE * len(order)
        study, large = (everything.taken(part[everything.groups]) for part in (mine, ~mine))
        counts = np.bincount(study.groups[study.positive], minlength=len(order))
        shuffled = random.permutation(len(order))
        kept = shuffled[np.cumsum(counts[shuffled]) <= SMALL]
        return study.taken(~study.positive | np.isin(study.groups, kept)), large

    return deal


def planted(components: int = 32, apart: float = 1.5, shared: float = 0.5) -> Deal:
    """Patients of one to several images; `shared`: their part of the variance."""

    def some(random: np.random.Generator, count: int, is_positive: bool, first: int) -> Images:
        member = np.repeat(np.arange(count), 1 + random.poisson(1.2, count))[:count]
        patients = random.normal(size=(count, components))[member]
        noise = random.normal(size=(len(member), components))
        features = math.sqrt(shared) * patients + math.sqrt(1 - shared) * noise
        features += is_positive * apart / math.sqrt(components)
        return Images(features, np.full(len(member), is_positive), member + first)

    def both(random: np.random.Generator, positive: int, negative: int) -> Images:
        parts = [some(random, positive, True, 0), some(random, negative, False, positive)]
        return Images(
            np.concatenate([each.features for each in parts]),
            np.concatenate([each.positive for each in parts]),
            np.concatenate([each.groups for each in parts]),
        )

    return lambda random: (both(random, SMALL, 5 * SMALL), both(random, 4000, 4000))


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
    """Predictions of a study, and each arm's folds: on their own tests and on the large one."""

    predictions: Predictions
    own: dict[Arm, Array]
    large: dict[Arm, Array]


def trial(deal: Deal, random: np.random.Generator, seed: int) -> Trial:
    study, large = deal(random)
    config = resolve(
        {
            "kind": "small_class", "positive": "VIRUS", "classifiers": ["probe"], "seed": seed,
            "primary_classifier": "probe", "folds": FOLDS, "repeats": REPEATS,
        }
    )  # fmt: skip
    tests, runs = {}, {arm: {} for arm in (REAL, DUPLICATES, SYNTHETIC)}  # type: ignore[var-annotated]
    own: dict[Arm, list[float]] = {arm: [] for arm in runs}
    far: dict[Arm, list[float]] = {arm: [] for arm in runs}
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
                for images, found in ((study.taken(inside), own), (large, far)):
                    scores, once = asked(images.features), metrics.once(len(images.features))
                    found[arm].append(float(metrics.auroc(scores, images.positive, once)[0]))
    prepared = {"positive": 1, "labels": ["BACTERIA", "VIRUS"], "partitions": {}}
    predictions = Predictions(
        config, prepared, study.positive.astype(np.int64), study.groups, tests,
        np.zeros(0, np.int64), runs,
    )  # fmt: skip
    return Trial(
        predictions,
        {arm: np.array(each) for arm, each in own.items()},
        {arm: np.array(each) for arm, each in far.items()},
    )


Interval = tuple[float, float]


def intervals_of(found: Trial) -> dict[tuple[str, str], tuple[Interval, float]]:
    """By what it is of and how it was made: an interval, and the large test's value."""
    of = contrasts.images_of(found.predictions, 1.0)
    measured = {arm: contrasts.measure(found.predictions, of, arm, ("auroc",)) for arm in found.own}
    rows = {}
    for arm in found.own:
        value = contrasts.value(of, measured[arm], "auroc")
        truth = float(found.large[arm].mean())
        plain = Estimate(value.value, value.patients**2, of.df, 0, None, None)
        fold = resampled_t(found.own[arm])
        name = f"AUROC, {arm.name}"
        rows[name, "as in studies.folds"] = value.share_interval, truth
        rows[name, "patients resampled"] = plain.share_interval, truth
        rows[name, "folds' corrected t"] = fold.interval, truth
        rows[name, "folds' corrected t, logit"] = fold.share_interval, truth
        for factor in (1.4, 2.0):
            wide = Estimate(value.value, factor * value.patients**2, of.df, 0, None, None)
            rows[name, f"patients x {factor}"] = wide.share_interval, truth
    for arm, control in ((SYNTHETIC, DUPLICATES), (SYNTHETIC, REAL), (DUPLICATES, REAL)):
        difference = contrasts.contrast(found.predictions, of, measured[arm], measured[control])
        truth = float(found.large[arm].mean() - found.large[control].mean())
        name = f"{arm.name} - {control.name}"
        rows[name, "as in studies.folds"] = difference.interval, truth
        own = replace(difference, variance=difference.patients**2, df=of.df)
        rows[name, "patients resampled"] = own.interval, truth
        fold = resampled_t(found.own[arm] - found.own[control])
        rows[name, "folds' corrected t"] = fold.interval, truth
    return rows


def resampled_t(values: Array) -> Estimate:
    """Nadeau and Bengio's, of the folds' own values."""
    variance = float(values.var(ddof=1)) * (1 / len(values) + 1 / (FOLDS - 1))
    return Estimate(float(values.mean()), variance, len(values) - 1, 0, None, None)


_deal: Deal


def _one(given: tuple[int, int]) -> dict[tuple[str, str], tuple[Interval, float]]:
    seed, draw = given
    return intervals_of(trial(_deal, np.random.default_rng([seed, draw]), draw))


def main() -> None:
    global _deal, FOLDS, REPEATS, SHIFT
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--apart", type=float, default=1.5)
    parser.add_argument("--shift", type=float, default=SHIFT)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
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
