"""The small statistics: floors and bars, AUROC, counts beyond a bar, intervals, MS-SSIM, draws."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from evaluation.conditioning import margins
from evaluation.copies import beyond, negative_hypergeometric, wilson
from evaluation.fidelity import ClassFidelity
from evaluation.floors import WORSE_HIGH, WORSE_LOW, Measured, bar, jackknife, share_error
from evaluation.images import Images, Protocol, Subject, drawn, halves
from evaluation.lights import fidelity_checks
from evaluation.msssim import ms_ssim, scales
from evaluation.permutations import permuted
from evaluation.probe import PENALTY, auroc, fitted, macro_auroc, out_of_fold
from tests.evaluation.pictures import chests, real


def number(
    value: float, floors: np.ndarray, worse: int = WORSE_HIGH, share: float = 0.0
) -> Measured:
    return Measured("m", "l", value, None, floors, share, worse)


def test_z_counts_deviations_in_the_direction_that_is_worse() -> None:
    floors = np.array([1.0, 2.0, 3.0])
    assert number(4.0, floors).z == pytest.approx(2.0)
    assert number(4.0, floors, WORSE_LOW).z == pytest.approx(-2.0)
    # Drawn from twice as many images: (1 + 1/2) / (1 - 1/2) of the variance.
    assert number(4.0, floors, share=0.5).z == pytest.approx(2 / np.sqrt(3))


def test_one_bar_for_many_numbers_keeps_the_level() -> None:
    random = np.random.default_rng(0)
    alarms, trials = 0, 400
    for _ in range(trials):
        numbers = [number(random.normal(), random.normal(size=200)) for _ in range(15)]
        alarms += max(m.z for m in numbers) > bar(numbers, 0.05)
    assert alarms / trials < 0.05
    # It is no more careful than that: what is plain is seen.
    assert number(6.0, random.normal(size=200)).z > bar(numbers, 0.05)


@given(st.integers(1, 8), st.integers(1, 8), st.data())
@settings(deadline=None)
def test_counts_beyond_the_bar_have_the_distribution_of_exchangeable_ranks(
    real_n: int, fake_n: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, real_n))
    count = data.draw(st.integers(0, fake_n))
    total = reached = 0
    for places in itertools.combinations(range(real_n + fake_n), real_n):
        kth_highest = sorted(places)[-k]
        above = real_n + fake_n - 1 - kth_highest - (k - 1)  # fakes above it
        reached += above >= count
        total += 1
    assert total == comb(real_n + fake_n, real_n)
    assert negative_hypergeometric(count, k, real_n, fake_n) == pytest.approx(reached / total)


def test_beyond_counts_what_is_nearer_than_the_nearest_hundredth() -> None:
    real_values = np.arange(299.0)  # the bar is the third highest: 296
    found = beyond(np.array([295.5, 296.0, 296.5, 400.0]), real_values)
    assert found[:2] == (296.0, 2)
    assert found[2] < 0.01


def test_wilsons_interval_is_the_published_one() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_auroc_of_known_orders() -> None:
    positive = np.array([True, True, False, False])
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), positive) == 1.0
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), positive) == 0.0
    assert auroc(np.array([1.0, 1.0, 1.0, 1.0]), positive) == 0.5
    assert auroc(np.array([3.0, 1.0, 2.0, 0.0]), positive) == 0.75
    # Twice is the same as there two times.
    weights = np.array([1.0, 2.0, 1.0, 1.0])
    assert auroc(np.array([3.0, 1.0, 2.0, 0.0]), positive, weights) == pytest.approx(4 / 6)


def test_a_probe_learns_three_classes_and_sees_no_patient_twice() -> None:
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 60)
    features = (random.normal(size=(180, 20)) + 3 * np.eye(3, 20)[classes]).astype(np.float32)
    fresh = (random.normal(size=(180, 20)) + 3 * np.eye(3, 20)[classes]).astype(np.float32)
    assert macro_auroc(fitted(features, classes, 3).probabilities(fresh), classes) > 0.95
    # Labels that mean nothing, each patient's images alike: known patients would give them away.
    groups = np.repeat(np.arange(30), 6)
    alike = np.repeat(random.normal(size=(30, 20)), 6, 0).astype(np.float32)
    given = random.integers(0, 2, 30)[groups]
    right = out_of_fold(alike, given, groups, 2, random).argmax(1) == given
    assert right.mean() < 0.75


@given(
    images=st.integers(6, 60),
    width=st.integers(1, 30),
    count=st.integers(2, 4),
    balanced=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=20)
def test_where_a_probe_ends_its_loss_rises_on_every_side(
    images: int, width: int, count: int, balanced: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    features = random.normal(size=(images, width)).astype(np.float32)
    classes = random.integers(0, count, images)
    probe = fitted(features, classes, count, balanced)
    weights, bias = (torch.tensor(a, requires_grad=True) for a in (probe.weights, probe.bias))
    scores = torch.from_numpy((features - probe.mean) / probe.deviation) @ weights + bias
    shares = np.bincount(classes, minlength=count)[classes]
    each = torch.from_numpy(images / (count * shares) if balanced else np.ones(images))
    losses = torch.nn.functional.cross_entropy(scores, torch.from_numpy(classes), reduction="none")
    loss = (losses * each).mean() + PENALTY / 2 * weights.square().sum()
    # Strictly convex in the weights: no other place has so small a gradient.
    gradients = torch.autograd.grad(loss, (weights, bias))
    assert max(float(gradient.abs().max()) for gradient in gradients) < 2e-3


def test_ms_ssim_is_one_for_the_same_and_falls_with_noise() -> None:
    levels = chests(0, 8, 0, side=96)[0]
    random = np.random.default_rng(0)
    noisy = [
        np.clip(levels + random.normal(0, sigma, levels.shape), 0, 255).astype(np.uint8)
        for sigma in (5, 20, 60)
    ]
    found = [ms_ssim(levels, each).mean() for each in (levels, *noisy)]
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found == sorted(found, reverse=True)
    np.testing.assert_allclose(ms_ssim(levels, noisy[1]), ms_ssim(noisy[1], levels), atol=1e-6)
    assert [scales(side) for side in (11, 21, 22, 64, 176, 512)] == [1, 1, 2, 3, 5, 5]


def test_ms_ssim_is_near_torchmetrics_where_all_scales_fit() -> None:
    """Theirs pads the borders, ours leaves them out; above 128 pixels ours is of the half."""
    levels = chests(1, 4, 1, side=128)[0]
    noisy = np.clip(levels + np.random.default_rng(1).normal(0, 20, levels.shape), 0, 255)
    one, other = (torch.from_numpy(x.astype(np.float32))[:, None] for x in (levels, noisy))
    known = (0.0448, 0.2856, 0.3001, 0.2363)
    weights = tuple(w / sum(known) for w in known)
    theirs = multiscale_structural_similarity_index_measure(
        one, other, data_range=255.0, betas=weights, reduction="none", kernel_size=11,
        normalize="relu",
    )  # fmt: skip
    ours = ms_ssim(levels, noisy.astype(np.uint8))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=0.02)


@given(st.integers(0, 1000), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_draws_take_whole_patients_but_for_the_last(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 20, 60)
    rows = drawn(random, np.arange(60), groups, count)
    assert len(rows) == count == len(set(rows.tolist()))
    met = list(dict.fromkeys(groups[rows].tolist()))
    for group in met[:-1]:
        assert (groups[rows] == group).sum() == (groups == group).sum()


def test_halves_share_no_patient_and_have_each_class() -> None:
    images = real(3, 40)
    one, other = map(images.taken, halves(np.random.default_rng(0), images))
    assert len(one) + len(other) == len(images)
    assert not set(one.groups) & set(other.groups)
    for half in (one, other):
        assert np.bincount(half.classes).min() > 15


def test_fakes_stand_each_for_itself() -> None:
    images = Images.of(np.zeros((5, 16, 16), np.uint8), [0, 0, 1, 1, 1])
    assert len(set(images.groups)) == 5


def share(total: float, size: float) -> float:
    return total / size


@pytest.mark.parametrize("level", [0.05, 1e-4])
def test_a_permutation_test_comes_below_any_level_that_it_is_asked_for(level: float) -> None:
    member = np.arange(60) < 30
    p = permuted(
        member.astype(np.float64), member, np.arange(60), share, np.random.default_rng(0), level
    )
    assert p <= level


def test_a_permutation_test_has_its_level_and_ends_early_where_nothing_is() -> None:
    random = np.random.default_rng(0)
    groups, found = np.repeat(np.arange(40), 2), []
    for _ in range(200):
        values = np.repeat(random.normal(size=40), 2)
        found.append(permuted(values, groups % 2 == 0, groups, share, random))
    assert [np.mean(np.array(found) <= x) for x in (0.05, 0.5)] == pytest.approx(
        [0.05, 0.5], abs=0.07
    )


def test_the_jackknife_has_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    without = [np.delete(values, np.s_[i::10]).mean() for i in range(10)]
    assert jackknife(np.array(without)) == pytest.approx(1 / np.sqrt(4000), rel=0.5)


def test_the_error_of_a_share_is_not_zero_where_all_are_counted() -> None:
    assert share_error(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)
    assert share_error(1.0, 100) == pytest.approx(0.01347, rel=0.01)


def blobs(
    random: np.random.Generator, centres: np.ndarray, each: int, first: int
) -> tuple[Images, np.ndarray]:
    classes = np.repeat(np.arange(len(centres)), each)
    vectors = random.normal(size=(len(classes), centres.shape[1])) + centres[classes]
    images = Images(
        np.zeros((len(classes), 2, 2), np.uint8), classes, first + np.arange(len(classes))
    )
    return images, vectors.astype(np.float32)


def class_verdicts(centres: np.ndarray, seed: int, swapped: bool = False) -> list[str]:
    """Of the check 'class KID', for new vectors around the centres, or around the next ones."""
    random, names = np.random.default_rng(seed), tuple("ABCDEFGH"[: len(centres)])
    reference, pool = blobs(random, centres, 110, 0), blobs(random, centres, 300, 10_000)
    fakes, vectors = blobs(random, np.roll(centres, -1, 0) if swapped else centres, 110, 0)
    subject = Subject(names, fakes, reference[0], pool[0], True)
    protocol = Protocol(draws=100)
    found = margins(subject, vectors, pool, reference, protocol, random)
    classes = [ClassFidelity(name, 110, 110, 110, {}, 0.0, True) for name in names]
    return [c.verdict for c in fidelity_checks(classes, [], found, {}, protocol)]


def test_classes_that_are_alike_alarm_no_more_often_than_the_light_may() -> None:
    alike = np.zeros((6, 32))
    alarms = [set(class_verdicts(alike, seed)) != {"green"} for seed in range(15)]
    assert np.mean(alarms) < 0.2
    apart = np.eye(6, 32)
    assert set(class_verdicts(apart, 0)) == {"green"}
    assert set(class_verdicts(apart, 0, swapped=True)) == {"red"}
