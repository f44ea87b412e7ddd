"""Whether "synthetic" can be told, and whether it was learned in place of the class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from studies import intervals, metrics, verdicts
from studies.intervals import Draw, Estimate
from studies.predictions import Arm, Predictions, ToldApart, numbered
from studies.words import arm_name, classifier_name

# The folds' probes learn from one another's test images, so that their errors go together: twice
# the resampled patients' variance (benchmarks.study_told_apart, docs/studies.md).
WIDER = 2.0


def told_apart(predictions: Predictions) -> tuple[list[dict[str, Any]], list[verdicts.Check]]:
    numbers = numbered(predictions.config)
    found: list[dict[str, Any]] = []
    for i, (place, each) in enumerate(sorted(predictions.told_apart.items())):
        size, number = numbers[place]
        estimate = auroc(each, np.random.default_rng([predictions.config.seed, 2, i]))
        low, high = estimate.share_interval
        found.append(
            {
                "size": size,
                "generator": number,
                "auroc": estimate.value,
                "interval": [low, high],
                "n": len(each.score),
            }
        )
    rows = [(f["size"], f["generator"], f["auroc"], *f["interval"]) for f in found]
    return found, verdicts.told_apart_checks(
        rows,
        predictions.config.synthetic_classes,
        predictions.config.generator.trained,
    )


def auroc(told: ToldApart, random: np.random.Generator) -> Estimate:
    """Of scores out of fold, with an interval that is honest about their sharing of images."""
    weights = intervals.resamples(told.group, random)
    draw = Draw(
        metrics.auroc(told.score, told.synthetic, metrics.once(len(told.score))),
        metrics.auroc(told.score, told.synthetic, weights)[None],
    )
    found = intervals.estimated([draw], intervals.patients_df(told.group, told.synthetic))
    return replace(found, variance=WIDER * found.variance)


def shortcut(predictions: Predictions) -> tuple[list[dict[str, Any]], list[verdicts.Check]]:
    found: list[dict[str, Any]] = []
    checks = []
    for size in predictions.config.sizes:
        for arm, given in predictions.shortcut.items():
            places = [place for place in predictions.places(arm, size) if place in given]
            if not places or not all(place in predictions.runs.get(arm, {}) for place in places):
                continue
            estimate, synthetic, real = _called(predictions, arm, places)
            low, high = np.clip(estimate.interval, -1, 1).tolist()  # nan stays
            found.append(
                {
                    **arm.at(size),
                    "rate_synthetic": synthetic,
                    "rate_real": real,
                    "difference": estimate.value,
                    "interval": [low, high],
                }
            )
            config = predictions.config
            name = f"{arm_name(arm.name, arm.ratio)} ({classifier_name(arm.classifier)}"
            name += ")" if size == 1 else f", size {size:g})"
            checks.append(
                verdicts.shortcut_check(
                    name, (synthetic, real), low, high, config.specificity,
                    arm.name == "one_class", config.synthetic_classes, config.negatives_alone,
                )
            )  # fmt: skip
    return found, checks


def _called(
    predictions: Predictions, arm: Arm, places: list[tuple[str, int]]
) -> tuple[Estimate, float, float]:
    """How much more often synthetic images of the other classes are called positive than real ones.

    Where synthetic images are of other classes alone: those of the positive one called negative.
    At the threshold of the fixed specificity on the real test images of the same run.
    """
    config = predictions.config
    seed, at = config.seed, (config.specificity, config.negatives_alone)
    draws, synthetic, real, more, df = [], [], [], 0.0, 1 << 30
    drawn: dict[bytes, Any] = {}
    for number, place in enumerate(places):
        rows = predictions.tests[place[0]]
        positive, groups = predictions.positive[rows], predictions.groups[rows]
        if rows.tobytes() not in drawn:
            random = np.random.default_rng([seed, 3, len(drawn)])
            drawn[rows.tobytes()] = intervals.resamples(groups, random)
        weights = drawn[rows.tobytes()]
        made = predictions.shortcut[arm][place]
        random = np.random.default_rng([seed, 4, number])
        again = intervals.resamples(np.arange(made.shape[1]), random)
        called, values, resampled = [], [], []
        for own, others in zip(predictions.runs[arm][place], made, strict=True):
            rates = _rates(own, others, positive, metrics.once(len(rows)), None, *at)
            values.append(rates[0][0] - rates[1][0])
            called.append(rates[0][0])
            real.append(rates[1][0])
            parts = _rates(own, others, positive, weights, again, *at)
            resampled.append(parts[0] - parts[1])
        synthetic += called
        more += _never(float(np.mean(called)), made.shape[1])
        draws.append(Draw(np.array(values), np.array(resampled)))
        df = min(df, intervals.patients_df(groups, positive))
    found = intervals.estimated(draws, df)
    found = replace(found, variance=found.variance + more / len(places) ** 2)
    return found, float(np.mean(synthetic)), float(np.mean(real))


def _never(rate: float, images: int) -> float:
    """A share's variance that resampling cannot see, where it is 0 or 1: Agresti and Coull's."""
    if 0 < rate < 1:
        return 0.0
    share = (rate * images + 2) / (images + 4)
    return share * (1 - share) / (images + 4)


def _rates(
    own: Any, others: Any, positive: Any, weights: Any, again: Any, specificity: float, below: bool
) -> tuple[Any, Any]:
    """Shares above the threshold: of the synthetic images, and of the real negative ones, (B,).

    below: not above it, and of the real positive ones.
    """
    bar = metrics.threshold(own, positive, weights, specificity)
    wrong = (others > bar[:, None]) != below
    made = wrong.mean(1) if again is None else (wrong * again).sum(1) / again.sum(1)
    among = positive == below
    heavy = weights[:, among]
    real = (((own[among] > bar[:, None]) != below) * heavy).sum(1) / np.maximum(heavy.sum(1), 1)
    return made, real
