"""Student's t, the metrics over resamples, the intervals, the verdicts: against definitions."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.study_errors import PLANS, rates
from library.studies.resolving import resolve
from studies import folds, intervals, metrics, student
from studies.cost import training_images
from studies.intervals import Draw
from studies.verdicts import (
    AMBER,
    BENEFIT,
    EQUIVALENT,
    GREEN,
    GREY,
    HARM,
    INCONCLUSIVE,
    RED,
    Check,
    holm,
    lights,
    said,
    shortcut_check,
    told_apart_checks,
    verdict,
)

Array = NDArray[np.float64]
SPECIFICITY = 0.8


@pytest.mark.parametrize(
    ("share", "df", "t"),
    [
        (0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 3, 3.18245), (0.975, 9, 2.26216),
        (0.975, 30, 2.04227), (0.95, 10, 1.81246), (0.995, 5, 4.03214), (0.975, 1e7, 1.95996),
        (0.9, 120, 1.28865),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_tables(share: float, df: float, t: float) -> None:
    assert student.quantile(share, df) == pytest.approx(t, abs=2e-5)


@given(st.floats(0.51, 0.9999), st.floats(0.7, 1e4))
@settings(max_examples=60, deadline=None)
def test_quantile_and_tails_are_inverse_between_the_tables_too(share: float, df: float) -> None:
    t = student.quantile(share, df)
    assert student.both_tails(t, df) == pytest.approx(2 * (1 - share), rel=1e-8)
    # One degree of freedom is Cauchy's distribution, two has a closed form.
    assert student.quantile(share, 1) == pytest.approx(math.tan(math.pi * (share - 0.5)), rel=1e-8)
    two = (2 * share - 1) * math.sqrt(2 / (4 * share * (1 - share)))
    assert student.quantile(share, 2) == pytest.approx(two, rel=1e-8)


@st.composite
def samples(draw: st.DrawFn) -> tuple[Array, NDArray[np.bool_], Array]:
    """Few distinct scores, so that there are ties; weights with images that are not there."""
    count = draw(st.integers(1, 12))
    scores = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    positive = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    row = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    weights = draw(st.lists(row, min_size=1, max_size=4))
    return np.array(scores) / 8 + 0.1, np.array(positive), np.array(weights, np.float64)


def by_definition(scores: Array, positive: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """AUROC, average precision, sensitivity and Brier score of images written out."""
    up, down = scores[positive], scores[~positive]
    brier = float(np.mean((scores - positive) ** 2)) if len(scores) else math.nan
    if not len(up) or not len(down):
        return math.nan, math.nan, math.nan, brier
    won = np.mean([(u > d) + 0.5 * (u == d) for u in up for d in down])
    precision = np.mean([(up >= u).sum() / (scores >= u).sum() for u in up])
    for bar in np.unique(scores):
        if (down <= bar).mean() >= SPECIFICITY - 1e-9:
            return float(won), float(precision), float((up > bar).mean()), brier
    raise AssertionError


@given(samples())
@settings(max_examples=200, deadline=None)
def test_metrics_of_weights_are_those_of_images_written_out(
    sample: tuple[Array, NDArray[np.bool_], Array],
) -> None:
    scores, positive, weights = sample
    names = ("auroc", "auprc", "sensitivity", "brier")
    found = metrics.measured(scores, positive, weights, SPECIFICITY, names)
    for row, weight in enumerate(weights.astype(int)):
        wanted = by_definition(np.repeat(scores, weight), np.repeat(positive, weight))
        for name, value in zip(names, wanted, strict=True):
            assert found[name][row] == pytest.approx(value, nan_ok=True), name


def test_recalibration_finds_what_was_planted() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=40_000)
    positive = random.random(len(x)) < 1 / (1 + np.exp(-(0.4 + 0.7 * x)))
    sure = 1 / (1 + np.exp(-x))
    slope, intercept = metrics.calibration(sure, positive, metrics.once(len(x)))
    assert slope[0] == pytest.approx(0.7, abs=0.04)
    p = 1 / (1 + np.exp(-(intercept[0] + x)))
    assert p.mean() == pytest.approx(positive.mean(), abs=1e-9)  # the likelihood's own equation


@pytest.mark.parametrize("sureness", [2.0, 6.0, 10.0, 20.0])
def test_recalibration_of_a_classifier_that_is_much_too_sure(sureness: float) -> None:
    """Where Newton's whole steps run away."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        truth = random.normal(1.0, 2.5, 700)
        positive = random.random(700) < 1 / (1 + np.exp(-truth))
        scores = 1 / (1 + np.exp(-sureness * truth - random.normal(0, 3, 700)))
        slope, _ = metrics.calibration(scores, positive, metrics.once(700))
        x = np.log(np.clip(scores, 1e-6, 1 - 1e-6) / np.clip(1 - scores, 1e-6, 1 - 1e-6))
        # At the maximum of the likelihood, with an intercept found by bisection.
        low, high = -50.0, 50.0
        for _ in range(80):
            middle = (low + high) / 2
            p = 1 / (1 + np.exp(-(middle + slope[0] * x)))
            low, high = (middle, high) if p.sum() < positive.sum() else (low, middle)
        assert ((positive - p) * x).mean() == pytest.approx(0, abs=1e-5), seed


def test_recalibration_of_resamples_is_of_images_written_out() -> None:
    random = np.random.default_rng(1)
    scores, positive = random.random(60), random.random(60) < 0.5
    weights = random.multinomial(60, np.full(60, 1 / 60), 5).astype(np.float64)
    found = metrics.calibration(scores, positive, weights)
    for row, weight in enumerate(weights.astype(int)):
        again = np.repeat(scores, weight), np.repeat(positive, weight)
        alone = metrics.calibration(*again, metrics.once(60))
        assert found[0][row] == pytest.approx(alone[0][0], abs=1e-5)
        assert found[1][row] == pytest.approx(alone[1][0], abs=1e-5)
    # Classes that are apart have no finite slope.
    apart = metrics.calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.arange(4) > 1, metrics.once(4))
    assert math.isnan(apart[0][0])


def test_a_thousand_resamples_of_ten_runs_take_no_time_to_speak_of() -> None:
    random = np.random.default_rng(0)
    positive, weights = random.random(700) < 0.5, intervals.resamples(np.arange(700), random)
    before = time.process_time()
    for _ in range(10):
        metrics.auroc(random.random(700), positive, weights)
    assert time.process_time() - before < 3


def test_what_one_draw_has_alone_counts_and_what_all_share_counts_once() -> None:
    random = np.random.default_rng(0)
    shared, own = random.normal(size=20_000), random.normal(size=(3, 20_000))
    draws = [Draw(np.array([0.8]), (shared + each)[None]) for each in own]
    same = intervals.estimated(draws, 100)
    assert same.variance == pytest.approx(1, abs=0.05)  # of the shared part; none of the draws
    apart = [Draw(np.array([v]), d.resampled) for v, d in zip((0, 1, 2), draws, strict=True)]
    found = intervals.estimated(apart, 1e9)
    assert found.variance == pytest.approx(1 + 1 / 3, abs=0.05)
    assert found.df == pytest.approx(found.variance**2 / ((1 / 3) ** 2 / 2), rel=1e-6)
    assert found.draws == 1
    assert found.seeds is None
    assert (found.p < 0.05) == (found.interval[0] > 0 or found.interval[1] < 0)
    # The same three draws in both arms: what they share is gone.
    paired = intervals.difference(apart, apart, True, 100)
    assert paired.variance == pytest.approx(0, abs=1e-20)
    one = intervals.estimated([Draw(np.array([0.9] * 2), np.array([shared] * 2))], 7)
    assert one.variance == pytest.approx(shared.var(ddof=1))
    assert one.df == pytest.approx(7)


def test_draws_that_are_alike_by_chance_differ_by_what_their_seeds_make() -> None:
    still = np.zeros((2, 50))
    draws = [Draw(np.array([0.78, 0.82]), still), Draw(np.array([0.79, 0.81]), still)]
    found = intervals.estimated(draws, 100)
    # The mean of four seeds, whose deviations in their draws are 0.028 and 0.014.
    assert found.variance == pytest.approx((0.0008 / 2 + 0.0002 / 2) / 4)
    assert found.df == pytest.approx(2)
    other = [Draw(draw.values - 0.3, still) for draw in draws]  # the same starts: they cancel
    assert intervals.difference(draws, other, True, 100).variance == pytest.approx(0, abs=1e-20)


def test_a_classifier_that_is_never_wrong_has_an_interval() -> None:
    found = intervals.Estimate(1.0, 0.0, 9.0, 0.0, None, None)
    assert found.share_interval == pytest.approx((0.6915, 1.0), abs=1e-4)  # of 10, by the tables
    low, high = intervals.Estimate(0.0, 0.0, 9.0, 0.0, None, None).share_interval
    assert (low, high) == pytest.approx((0.0, 0.3085), abs=1e-4)


@pytest.mark.parametrize(("generators", "wanted"), [(0.0, 1.2), (0.02, 2.0)])
def test_the_folds_own_generators_widen_a_difference(generators: float, wanted: float) -> None:
    """Ten folds' differences with a deviation of 0.02 by patients, and by generators or not."""
    random = np.random.default_rng(1)
    ratios = []
    for _ in range(300):
        patients = random.normal(0, 0.02, (10, 200))
        values = random.normal(0, 0.02, 10) + generators * random.normal(size=10)
        each = [Draw(np.array([v]), p[None]) for v, p in zip(values, patients, strict=True)]
        none = [Draw(np.zeros(1), np.zeros((1, 200)))] * 10
        pooled = [
            Draw(np.array([values[k : k + 5].mean()]), patients[k : k + 5].mean(0)[None])
            for k in (0, 5)
        ]
        found = folds.difference(pooled, none[:2], each, none, 50)
        ratios.append(found.variance / found.patients**2)
        assert 9 <= found.df <= 9 + 50.01
    assert np.mean(ratios) == pytest.approx(wanted, abs=0.2)
    assert min(ratios) == pytest.approx(1)  # never less than the patients'


@given(st.floats(0.01, 0.99), st.floats(1e-6, 1.0), st.floats(1, 100))
@settings(deadline=None)
def test_an_interval_of_a_share_stays_inside(value: float, variance: float, df: float) -> None:
    found = intervals.Estimate(value, variance, df, 0.0, None, None)
    low, high = found.share_interval
    assert 0 <= low <= value <= high <= 1


def test_patients_are_drawn_whole() -> None:
    groups = np.array([3, 3, 8, 8, 8, 5])
    weights = intervals.resamples(groups, np.random.default_rng(0), 50)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 5]].sum(1) == 3).all()
    assert intervals.patients_df(groups, np.array([1, 0, 0, 0, 0, 0], bool)) == 1


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.023, 0.002, "A gain of 0.01, the smallest useful effect, is excluded, a loss is not."),
        (-0.009, 0.038, "A loss of 0.01, the smallest useful effect, is excluded, a gain is not."),
        (-0.02, 0.02, "Neither a gain nor a loss of 0.01, the smallest useful effect, is"),
    ],
)
def test_what_an_interval_leaves_open_is_said(low: float, high: float, words: str) -> None:
    assert words in said(INCONCLUSIVE, (low + high) / 2, low, high, 0.01, "auroc", "network", 1)


def test_one_training_of_a_control_is_held_to_how_far_the_other_arms_were_off() -> None:
    """Both parts are of one estimate: its degrees of freedom are not those of two."""
    random = np.random.default_rng(4)
    alike = np.zeros(50)  # no patient matters
    arm = [Draw(np.array([value]), alike[None] + value) for value in (0.7, 0.8, 0.9)]
    control = [Draw(np.array([0.75]), alike[None] + 0.75)]
    found = intervals.difference(arm, control, False, 99, (True, True))
    assert found.variance == pytest.approx(0.01 / 3 + 0.01)
    assert found.df == pytest.approx(2)
    turned = intervals.difference(control, arm, False, 99, (True, True))
    assert (turned.value, turned.variance, turned.df) == (-found.value, found.variance, found.df)
    given_alone = intervals.difference(arm, control, False, 99, (True, False))
    assert given_alone.variance == pytest.approx(0.01 / 3)
    # Of several seeds a draw's mean has a part; a single training has all they make.
    seeds = [Draw(d.values + random.permutation([-0.1, 0.1]), np.zeros((2, 50))) for d in arm]
    found = intervals.difference(seeds, control, False, 99, (True, True))
    assert found.variance == pytest.approx(0.01 / 3 + 0.01 + 0.02 / 2)


@given(st.integers(0, 2**32), st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_pooled_places_have_the_mean_of_the_folds_auroc(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    fold = np.repeat(np.arange(count), 60)
    positive = np.tile(np.arange(60) % 3 == 0, count)
    # Each fold's classifier has a scale of its own.
    scores = random.normal(size=len(fold)) * (1 + fold) + 5 * fold
    once = metrics.once(60)
    own = [metrics.auroc(scores[fold == k], positive[fold == k], once)[0] for k in range(count)]
    pooled = metrics.auroc(folds.aligned(scores, positive, fold), positive, metrics.once(len(fold)))
    assert pooled[0] == pytest.approx(np.mean(own), abs=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "p", "wanted"),
    [
        (0.001, 0.03, None, BENEFIT), (-0.03, -0.001, None, HARM),
        (-0.005, 0.02, None, INCONCLUSIVE),
        (0.001, 0.009, None, EQUIVALENT), (-0.009, 0.009, None, EQUIVALENT),
        (-0.01, 0.009, None, INCONCLUSIVE), (0.001, 0.03, 0.06, INCONCLUSIVE),
        (0.001, 0.03, 0.04, BENEFIT), (math.nan, math.nan, None, INCONCLUSIVE),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_interval(
    low: float, high: float, p: float | None, wanted: str
) -> None:
    assert verdict(low, high, 0.01, p) == wanted


def test_holm_corrects_as_in_its_paper_and_leaves_out_what_is_not_known() -> None:
    found = holm([0.01, 0.04, math.nan, 0.03, 0.005])
    assert found[:2] + found[3:] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(found[2])
    assert holm([]) == []


def test_a_light_is_as_bad_as_its_worst_check() -> None:
    checks = [Check("shortcut", "a", GREEN, ""), Check("shortcut", "b", RED, "")]
    assert lights(checks) == {"usefulness": GREY, "shortcut": RED, "told_apart": GREY}


def test_synthetic_images_of_one_class_that_can_be_told_are_red() -> None:
    found = [(1.0, 0, 0.9, 0.85, 0.94)]
    assert told_apart_checks(found)[0].verdict == AMBER
    assert told_apart_checks(found, ["B"])[0].verdict == RED
    assert told_apart_checks([(1.0, 0, 0.52, 0.47, 0.58)], ["B"])[0].verdict == GREEN
    assert told_apart_checks([(1.0, 0, math.nan, math.nan, math.nan)], ["B"])[0].verdict == GREY


@pytest.mark.parametrize(
    ("only", "what_if", "low", "wanted"),
    [
        (["B"], False, 0.12, RED), (["B"], False, 0.05, AMBER), (["B"], False, -0.02, GREEN),
        ([], True, 0.12, AMBER), ([], False, 0.12, AMBER), ([], False, 0.05, AMBER),
        ([], True, 0.05, AMBER), ([], True, -0.02, GREEN),
        (["B"], False, math.nan, GREY),
    ],
)  # fmt: skip
def test_a_shortcut_is_more_than_twice_the_false_alarms(
    only: list[str], what_if: bool, low: float, wanted: str
) -> None:
    found = shortcut_check("an arm", (low + 0.3, 0.2), low, low + 0.2, 0.9, what_if, only)
    assert found.verdict == wanted
    # In every class, an odd picture here and there is no shortcut.
    assert shortcut_check("an arm", (0.18, 0.1), 0.03, 0.13, 0.9).verdict == GREEN


@pytest.mark.parametrize("only", [[], ["B"]])
def test_what_three_generators_cannot_tell_is_no_absence_of_a_shortcut(only: list[str]) -> None:
    found = shortcut_check("an arm", (0.45, 0.1), -0.14, 0.84, 0.9, not only, only)
    assert (found.verdict, "leaves open" in found.text) == (AMBER, True)


@pytest.mark.parametrize(
    ("name", "verdict", "least", "most"),
    [
        ("labels without a signal", BENEFIT, 0.0, 0.075), ("no gain", BENEFIT, 0.0, 0.075),
        ("no gain", HARM, 0.0, 0.075),
        ("no gain, a smaller size (paired draws)", BENEFIT, 0.0, 0.075),
        ("the same at a smaller size (paired draws)", BENEFIT, 0.0, 0.075),
        ("the same, were a seed's start common to all draws (it is not)", BENEFIT, 0.1, 0.5),
        ("a gain", BENEFIT, 0.9, 1.0), ("no gain that matters", EQUIVALENT, 0.9, 1.0),
    ],
)  # fmt: skip
def test_verdicts_are_right_where_it_is_known_what_is(
    name: str, verdict: str, least: float, most: float
) -> None:
    """Each way at most 2.5% of the time: of 40, 3 are 1 time in 50.  Fixed seeds; more repeats:
    python -m benchmarks.study_errors."""
    plan = next(plan for plan in PLANS if plan.name == name)
    assert least <= rates(plan, 40)[verdict] <= most


@pytest.mark.parametrize(
    ("given", "images"),
    [
        ({}, [90]),
        ({"labels": ["BACTERIA", "VIRUS"]}, [50]),
        ({"sizes": [0.5], "generators": 2}, [45, 45]),
        ({"kind": "small_class", "folds": 2, "repeats": 1}, [50, 50]),
        ({"kind": "small_class", "folds": 2, "repeats": 1, "small_count": 12}, [40, 40]),
        ({"kind": "small_class", "folds": 2, "repeats": 1, "small_count": 99}, [50, 50]),
    ],
)
def test_the_cost_counts_the_images_that_take_part(
    given: dict[str, Any], images: list[int]
) -> None:
    train = {"NORMAL": 40, "BACTERIA": 20, "VIRUS": 30}
    chosen_by = {"NORMAL": 6, "BACTERIA": 2, "VIRUS": 2}
    splits = {"train": train, "validation": chosen_by, "held_out": train}
    config = resolve({"positive": "VIRUS", **given})
    labels = config.labels or tuple(train)
    assert training_images(config, splits, labels) == images
