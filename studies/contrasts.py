"""Arms measured on the test patients, and what is held against what.

A usefulness study has one set of test patients, and its arms' runs differ by draw and seed
(studies.intervals); a small_class study tests every patient in every repeat (studies.folds).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from library.errors import Unusable
from library.studies.config import PROBE
from studies import folds, intervals, metrics
from studies.intervals import RESAMPLES, Array, Draw, Estimate
from studies.predictions import Arm, Place, Predictions

# What each arm is held against; duplicates: of the same ratio.
CONTROLS = {
    "duplicates": ("real",),
    "synthetic": ("real",),
    "real_synthetic": ("duplicates", "real", "augmented", "weighted", "oversampled"),
    "augmented": ("real",),
    "weighted": ("real",),
    "oversampled": ("real",),
    "augmented_synthetic": ("augmented",),
    "pretrained": ("real",),
    "one_class": ("real",),
}
_SHARES = ("auroc", "auprc", "sensitivity", "brier")  # from 0 to 1


@dataclass(frozen=True)
class Measured:
    """An arm at a size: the draws of each metric, in a small_class study its repeats; and its
    folds, of the metric that contrasts are of."""

    arm: Arm
    size: float
    metrics: dict[str, list[Draw]]
    folds: list[Draw]
    runs: int
    trainings: int


@dataclass(frozen=True)
class Tested:
    """The test images of a size, whose patients are resampled the same way for every arm.

    rows: of the study's images; weights: (B, n); df: of the patients' part; folds: of a
    small_class study, each partition's places among the rows.
    """

    size: float
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]
    weights: Array
    df: int
    folds: dict[str, NDArray[np.int64]] | None

    def part(self, among: NDArray[np.int64]) -> Tested:
        """Some of the images, under the same resamples."""
        return replace(
            self, rows=self.rows[among], positive=self.positive[among],
            weights=self.weights[:, among], folds=None,
        )  # fmt: skip


def images_of(predictions: Predictions, size: float, count: int = RESAMPLES) -> Tested:
    """Raises Unusable when the partitions' test images are not what such a study tests on."""
    parts = predictions.partitions(size)
    cross_validated = predictions.config.kind == "small_class"
    if cross_validated:
        first = [predictions.tests[each.name] for each in parts if each.repeat == 0]
        rows = np.sort(np.concatenate(first))
        among = {p.name: np.searchsorted(rows, predictions.tests[p.name]) for p in parts}
    else:
        rows, among = predictions.tests[parts[0].name], None
    for repeat in sorted({part.repeat for part in parts}):
        mine = [predictions.tests[part.name] for part in parts if part.repeat == repeat]
        whole = [np.sort(np.concatenate(mine))] if cross_validated else mine
        if not all(np.array_equal(each, rows) for each in whole):
            raise Unusable("The partitions do not test on the same images.", field="partitions")
    groups, positive = predictions.groups[rows], predictions.positive[rows]
    random = np.random.default_rng([predictions.config.seed, 1])
    weights = intervals.resamples(groups, random, count)
    return Tested(size, rows, positive, weights, intervals.patients_df(groups, positive), among)


def measure(
    predictions: Predictions, of: Tested, arm: Arm, names: tuple[str, ...] = metrics.NAMES
) -> Measured:
    """An arm's runs by these metrics."""
    found = predictions.runs[arm]
    places, config = predictions.places(arm, of.size), predictions.config
    alone: list[Draw] = []
    if of.folds is None:
        pairs = [(found[place], found[place]) for place in places]
    else:
        pairs = [_pooled(of, found, repeat) for repeat in _repeats(predictions, places)]
        for place in places:
            fold, scores = of.part(of.folds[place[0]]), found[place]
            draws_of = _measured(fold, scores, scores, config.specificity, (config.metric,))
            alone.append(draws_of[config.metric])
    each = [_measured(of, ranked, plain, config.specificity, names) for ranked, plain in pairs]
    draws = {name: [one[name] for one in each] for name in names}
    runs = sum(len(found[place]) for place in places)
    return Measured(arm, of.size, draws, alone, runs, len(places))


def _repeats(predictions: Predictions, places: list[Place]) -> list[list[Place]]:
    repeat = {each.name: each.repeat for each in predictions.partitions(1.0)}
    numbers = sorted(set(repeat.values()))
    return [[place for place in places if repeat[place[0]] == n] for n in numbers]


def _pooled(of: Tested, found: dict[Place, Array], places: list[Place]) -> tuple[Array, Array]:
    """Out-of-fold predictions of a repeat: places among the negatives, and as they are."""
    assert of.folds is not None
    seeds = min(len(found[place]) for place in places)
    plain, fold = np.empty((seeds, len(of.rows))), np.empty(len(of.rows), np.int64)
    for number, place in enumerate(places):
        rows = of.folds[place[0]]
        plain[:, rows], fold[rows] = found[place][:seeds], number
    ranked = np.array([folds.aligned(scores, of.positive, fold) for scores in plain])
    return ranked, plain


def _measured(
    of: Tested, ranked: Array, plain: Array, specificity: float, names: tuple[str, ...]
) -> dict[str, Draw]:
    """Of one draw's seeds."""
    by_order = tuple(name for name in names if name not in metrics.PROBABILITY_METRICS)
    by_value = tuple(name for name in names if name in metrics.PROBABILITY_METRICS)
    known: dict[bytes, list[dict[str, Array]]] = {}
    found = []
    for order, scores in zip(ranked, plain, strict=True):
        mark = scores.tobytes()  # a linear probe's seeds may be the same run
        if mark not in known:
            known[mark] = [
                metrics.measured(order, of.positive, weights, specificity, by_order)
                | metrics.measured(scores, of.positive, weights, specificity, by_value)
                for weights in (metrics.once(len(of.rows)), of.weights)
            ]
        found.append(known[mark])
    return {
        name: Draw(
            np.array([whole[name][0] for whole, _ in found]),
            np.array([parts[name] for _, parts in found]),
        )
        for name in names
    }


def value(of: Tested, arm: Measured, metric: str) -> Estimate:
    draws = arm.metrics[metric]
    if of.folds is None:
        return intervals.estimated(draws, of.df)
    return folds.cross_validated(draws, of.df)


def interval(found: Estimate, metric: str) -> tuple[float, float]:
    return found.share_interval if metric in _SHARES else found.interval


def contrast(predictions: Predictions, of: Tested, arm: Measured, control: Measured) -> Estimate:
    """arm - control, by the study's metric; without an interval where both are never wrong, which
    says nothing."""
    metric = predictions.config.metric
    one, other = arm.metrics[metric], control.metrics[metric]
    if of.folds is not None:
        found = folds.difference(one, other, arm.folds, control.folds, of.df)
    else:
        both = [predictions.places(each.arm, of.size) for each in (arm, control)]
        paired = both[0] == both[1] and len(both[0]) > 1
        differ = differs(arm.arm), differs(control.arm)
        found = intervals.difference(one, other, paired, of.df, differ)
    if all(value(of, each, metric).variance == 0 for each in (arm, control)):
        return replace(found, variance=math.nan)
    return found


def differs(arm: Arm) -> bool:
    """Whether another run of the same arm would end elsewhere: a probe has one optimum."""
    return arm.classifier != PROBE or arm.name == "duplicates"


def pairs(arms: list[Arm], primary: tuple[Arm, Arm]) -> Iterator[tuple[Arm, Arm]]:
    """What is held against what: the primary contrast first, then the others."""
    if set(primary) <= set(arms):
        yield primary
    for arm in arms:
        for name in CONTROLS.get(arm.name, ()):
            control = Arm(arm.classifier, name, arm.ratio if name == "duplicates" else None)
            if control in arms and (arm, control) != primary:
                yield arm, control


def large(predictions: Predictions, arm: Arm) -> float:
    """AUROC of the large test's positive images among the negative ones of each fold.

    The mean over the folds' classifiers: what the cross-validated value stands for, with as many
    positive images as there are.
    """
    found = []
    for place, scores in predictions.large[arm].items():
        down = ~predictions.positive[predictions.tests[place[0]]]
        own = predictions.runs[arm][place]
        for seed in range(min(len(scores), len(own))):
            found.append(folds.places(scores[seed], own[seed][down]).mean())
    return float(np.mean(found))
