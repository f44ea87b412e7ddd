"""Losses, penalties, schedules, the order of the data, and augmentation that is safe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from library.config import DiffAugment, resolve
from library.decoded import Decoded
from training.batches import Batches
from training.diffaugment import PROBABILITY_MAX, Adaptive, augment, draws, gathered
from training.losses import LOSSES, gradient_penalty
from training.order import Balanced, Natural
from training.precision import Arithmetic
from training.schedules import at
from training.trainer import new_game, train_step

CPU = torch.device("cpu")
ALL = DiffAugment(probability=1.0)
pytestmark = pytest.mark.usefixtures("one_thread")


# Losses


def test_losses_are_their_equations() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    log = math.log
    sigmoid = torch.sigmoid
    standard, relativistic, hinge = (LOSSES[n] for n in ("standard", "relativistic", "hinge"))
    expected = -(sigmoid(real).log().mean() + (1 - sigmoid(fake)).log().mean())
    torch.testing.assert_close(standard.discriminator(real, fake), expected)
    torch.testing.assert_close(standard.generator(real, fake), -sigmoid(fake).log().mean())
    pairs = (log(1 + math.exp(-1.5)) + log(1 + math.exp(-2.0))) / 2
    assert relativistic.discriminator(real, fake).item() == pytest.approx(pairs)
    assert relativistic.generator(real, fake).item() == pytest.approx(
        (log(1 + math.exp(1.5)) + log(1 + math.exp(2.0))) / 2
    )
    assert hinge.discriminator(real, fake).item() == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2)
    assert hinge.generator(real, fake).item() == pytest.approx(-(0.5 - 3) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_pulls_in_opposite_directions(name: str) -> None:
    real = torch.zeros(4, requires_grad=True)
    fake = torch.zeros(4, requires_grad=True)
    LOSSES[name].discriminator(real, fake).backward()  # type: ignore[no-untyped-call]
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    judged = torch.zeros(4, requires_grad=True)
    LOSSES[name].generator(real.detach(), judged).backward()  # type: ignore[no-untyped-call]
    assert judged.grad is not None
    assert (judged.grad < 0).all()
    d_x, d_g_z = LOSSES[name].probabilities(real.detach() + 1, fake.detach())
    assert 0 < d_g_z <= 0.5 < d_x < 1


def test_the_penalty_of_a_linear_judge_is_the_square_of_its_weights() -> None:
    weight = torch.randn(1, 4, 4)
    images = torch.randn(3, 1, 4, 4, requires_grad=True)
    factor = torch.tensor(2.0, requires_grad=True)
    penalty = gradient_penalty((factor * weight * images).sum((1, 2, 3)), images)
    torch.testing.assert_close(penalty, 4 * weight.square().sum())
    penalty.backward()  # type: ignore[no-untyped-call]
    assert factor.grad is not None
    torch.testing.assert_close(factor.grad, 4 * weight.square().sum())


def images_of(count: int) -> Decoded:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (count, 64, 64), dtype=np.uint8)
    return Decoded(levels, np.arange(count) % 2, ("A", "B"), "", {})


def test_the_penalty_is_computed_lazily_and_weighs_as_often() -> None:
    """With a discriminator that cannot learn, what the penalty adds is seen in its gradients."""
    options = {
        "family": "lite", "generator_width": 8, "discriminator_width": 8, "latent_dim": 8,
        "batch_size": 8, "loss": "relativistic", "learning_rate": 1e-12, "seed": 3,
        "conditional": True,
    }  # fmt: skip
    data = images_of(16)

    def gradient(penalty: float, every: int, step: int) -> Tensor:
        config = resolve("paper", {**options, "penalty": penalty, "penalty_every": every})
        how = Arithmetic("float32", False)
        game = new_game(config, 2, CPU, how)
        train_step(game, Batches(data, config, CPU).batch(step), config, how)
        return torch.cat(
            [p.grad.flatten() for p in game.discriminator.parameters() if p.grad is not None]
        )

    for step in (0, 1):
        without = gradient(0, 1, step)
        once = gradient(1, 1, step) - without
        assert once.norm() > 0
        lazily = gradient(1, 4, step) - without
        if step == 0:
            torch.testing.assert_close(lazily, 4 * once, rtol=1e-3, atol=1e-5)
        else:
            assert not lazily.any()


# Schedules


def test_schedules_go_from_first_to_final_over_the_planned_images() -> None:
    config = resolve("flagship", {"learning_rate": 2e-4, "learning_rate_final": 5e-5, "seed": 1})
    first, middle, last = (at(config, images, 1000) for images in (0, 500, 1000))
    assert (first.learning_rate, last.learning_rate) == pytest.approx((2e-4, 5e-5))
    assert middle.learning_rate == pytest.approx((2e-4 + 5e-5) / 2)
    assert (first.beta2, last.beta2) == pytest.approx((0.9, 0.99))
    assert (first.penalty, last.penalty) == pytest.approx((2.0, 0.2))
    assert (first.label_weight, middle.label_weight) == (0.0, 1.0)
    assert at(config, 100, 1000).label_weight == pytest.approx(0.5)
    assert at(config, 2000, 1000).learning_rate == last.learning_rate
    # The average forgets its first weights: at most a share of what was shown.
    long = at(config, 10_000, 10**9)
    assert long.ema_half_life_kimg == pytest.approx(0.05 * 10)
    assert at(config, 10**9, 10**9).ema_half_life_kimg == 10


def test_what_a_captured_step_cannot_change_goes_by_few_stairs() -> None:
    config = resolve("flagship", {"seed": 1})
    found = [at(config, images, 100_000) for images in range(0, 100_000, 100)]
    pairs = [(now.beta2, now.label_weight) for now in found]
    assert pairs == sorted(pairs)
    assert len(set(pairs)) < 32
    assert len({now.learning_rate for now in found}) > 900


def test_without_a_final_value_nothing_changes() -> None:
    config = resolve("paper", {"seed": 1})
    assert at(config, 0, 10) == at(config, 7, 10)


# Order


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(1, 16),
    st.integers(0, 2**53 - 1),
    st.integers(0, 500),
)
def test_balanced_batches_show_each_class_alike(
    counts: list[int], batch: int, seed: int, start: int
) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    data = Decoded(np.zeros((len(classes), 1, 1), np.uint8), classes, (), "", {})
    config = resolve("paper", {"batch_size": max(2, batch), "seed": seed})
    rows = np.concatenate([Balanced(data, config).of_step(start + i) for i in range(6)])
    shown = np.bincount(classes[rows], minlength=len(counts))
    assert shown.max() - shown.min() <= 1
    # A function of the step alone.
    assert np.array_equal(Balanced(data, config).of_step(start + 5), rows[-config.batch_size :])


def test_a_class_s_images_all_come_before_one_comes_again() -> None:
    classes = np.repeat([0, 1], [30, 5])
    data = Decoded(np.zeros((35, 1, 1), np.uint8), classes, ("A", "B"), "", {})
    config = resolve("paper", {"batch_size": 10, "seed": 4})
    order = Balanced(data, config)
    rows = np.concatenate([order.of_step(step) for step in range(12)])  # 60 of each
    for c, passes in ((0, 2), (1, 12)):
        own = rows[classes[rows] == c]
        assert (np.bincount(own)[np.flatnonzero(classes == c)] == passes).all()
        for part in np.split(own, passes):
            assert len(set(part)) == len(part)
    natural = Natural(data, config)
    assert len({tuple(natural.of_step(step)) for step in range(6)}) == 6


# Augmentation of what the discriminator sees


def test_nothing_is_augmented_at_probability_zero() -> None:
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    found = augment(images, draws(1, 0, 4)[0], ALL, 0.0)
    torch.testing.assert_close(found, images, rtol=0, atol=1e-5)


def test_numbers_are_of_a_step_alone_and_differ_for_real_and_generated() -> None:
    first = draws(7, 4, 16)
    assert torch.equal(first, draws(7, 4, 16))
    assert not torch.equal(first[0], first[1])
    for other in (draws(7, 5, 16), draws(8, 4, 16)):
        assert not torch.equal(first, other)


@given(st.integers(0, 2**53 - 1))
def test_no_augmentation_mirrors_turns_or_inverts(seed: int) -> None:
    """Left stays left, up stays up, and white stays whiter than black, whatever is drawn."""
    draw = draws(seed, 0, 8)[0]
    side = 32
    ramp = torch.linspace(-1, 1, side)
    for axis in (0, 1):
        image = (ramp[None, :] if axis else ramp[:, None]).expand(side, side)
        rule = DiffAugment(probability=1.0, cutout=0.0)
        seen = augment(image.expand(8, 1, side, side), draw, rule, 1.0)[:, 0]
        # The picture's middle, where nothing of the outside is seen.
        middle = seen[:, 12:20, 12:20]
        across = middle.mean(1 if axis else 2)
        along = middle.mean(2 if axis else 1)
        slope = across[:, -1] - across[:, 0]
        assert (slope > 0).all()
        assert (slope > (along[:, -1] - along[:, 0]).abs()).all()


def test_what_is_seen_is_moved_lit_and_covered() -> None:
    images = -torch.ones(64, 1, 32, 32)
    images[:, :, 8:24, 8:24] = 1.0
    draw = draws(3, 0, 64)[0]
    off = {"shift": 0.0, "scale": 0.0, "rotation": 0.0, "brightness": 0.0, "contrast": 0.0,
           "cutout": 0.0}  # fmt: skip
    plain = augment(images, draw, DiffAugment(1.0, **off), 1.0)
    torch.testing.assert_close(plain, images, rtol=0, atol=1e-5)
    for name, value in (("shift", 0.125), ("scale", 0.1), ("rotation", 10.0),
                        ("brightness", 0.2), ("contrast", 0.25), ("cutout", 0.25)):  # fmt: skip
        seen = augment(images, draw, DiffAugment(1.0, **{**off, name: value}), 1.0)
        assert (seen - images).abs().amax((1, 2, 3)).gt(1e-3).float().mean() > 0.9, name
    shifted = augment(images, draw, DiffAugment(1.0, **{**off, "shift": 0.125}), 1.0)
    weight = shifted[:, 0] + 1
    place = torch.arange(32.0)
    for axis in (1, 2):
        centre = (weight.sum(3 - axis) * place).sum(1) / weight.sum((1, 2))
        assert (centre - 15.5).abs().max() <= 0.125 * 32 + 0.1
        assert (centre - 15.5).abs().max() > 2


def test_probability_is_the_share_of_images_that_are_changed() -> None:
    images = torch.rand(2000, 1, 8, 8) * 2 - 1
    rule = DiffAugment(1.0, shift=0, scale=0, rotation=0, contrast=0, cutout=0)
    seen = augment(images, draws(5, 0, 2000)[0], rule, 0.3)
    changed = (seen - images).abs().amax((1, 2, 3)).gt(1e-4).float().mean().item()
    assert abs(changed - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 2000)


def test_the_gathered_sampling_is_grid_sample_with_its_gradients() -> None:
    seed = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 16, 16, generator=seed)
    maps = torch.eye(2, 3) + 0.3 * torch.randn(4, 2, 3, generator=seed)
    grid = affine_grid(maps, [4, 1, 16, 16], align_corners=False)
    x, y = (images.clone().requires_grad_(True) for _ in range(2))
    one, other = grid_sample(x, grid, "bilinear", "zeros", align_corners=False), gathered(y, grid)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    across = torch.linspace(-1, 1, 16)
    gradients = [
        torch.autograd.grad((seen * across).sum(), image)[0]
        for seen, image in ((one, x), (other, y))
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)


def test_the_probability_follows_the_overfitting() -> None:
    adaptive = Adaptive(0.0, 0.6)
    for _ in range(2000):
        adaptive.look(torch.tensor(1.0), 64)
    risen = adaptive.probability.item()
    assert risen == pytest.approx(2000 * 64 / 500_000, rel=1e-3)
    for _ in range(20_000):
        adaptive.look(torch.tensor(1.0), 64)
    assert adaptive.probability.item() == pytest.approx(PROBABILITY_MAX)
    for _ in range(30_000):
        adaptive.look(torch.tensor(0.1), 64)
    assert adaptive.probability.item() == 0
