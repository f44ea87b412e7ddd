"""Differential privacy: the accountant, the choice of images, clipping, noise, and refusals."""

from __future__ import annotations

import ast
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier

from library.config import RunConfig, resolve
from library.decoded import Decoded
from library.errors import InvalidValue, Unavailable
from library.private import check_alone
from training.accountant import noise_for, opacus_there, spent, spent_of_patient
from training.batches import Batches
from training.losses import LOSSES
from training.order import Poisson
from training.precision import Arithmetic
from training.privacy import Plan, Private, Secret, Use, participants, planned
from training.trainer import Game, new_game, train_step

CPU, EXACT = torch.device("cpu"), Arithmetic("float32", False)
SECRET = Secret(bytes(range(32)))
SMALL: dict[str, Any] = {"generator_width": 8, "discriminator_width": 8, "seed": 3, "batch_size": 8}
# Sampling rate, noise multiplier, steps, delta: of a hospital, of a large set, of MNIST in papers.
SETTINGS = ((64 / 1108, 1.23, 850, 9e-5), (64 / 20000, 0.64, 15600, 5e-6), (0.01, 1.1, 6000, 1e-5))


@pytest.mark.parametrize(("rate", "noise", "steps", "delta"), SETTINGS)
def test_epsilon_is_what_opacus_accountant_counts_step_by_step(
    rate: float, noise: float, steps: int, delta: float
) -> None:
    accountant = RDPAccountant()
    for _ in range(steps):
        accountant.step(noise_multiplier=noise, sample_rate=rate)
    assert spent(rate, noise, steps, delta) == accountant.get_epsilon(delta)
    assert spent_of_patient(rate, noise, steps, delta, 1) == accountant.get_epsilon(delta)
    # Of parts of a run: what two attempts did is what one would have done.
    resumed = RDPAccountant()
    resumed.history = [(noise, rate, steps // 3), (noise, rate, steps - steps // 3)]
    assert resumed.get_epsilon(delta) == pytest.approx(spent(rate, noise, steps, delta))


@pytest.mark.parametrize(
    ("epsilon", "images", "epochs"), [(8, 1108, 50), (1, 4099, 50), (3, 4099, 9)]
)
@pytest.mark.filterwarnings("ignore:Optimal order is the")  # opacus' own, of its first guesses
def test_the_noise_is_the_least_that_keeps_the_budget(
    epsilon: float, images: int, epochs: int
) -> None:
    rate, steps, delta = 64 / images, epochs * (images // 64), 1 / (10 * images)
    noise = noise_for(epsilon, rate, steps, delta)
    assert spent(rate, noise, steps, delta) <= epsilon < spent(rate, 0.998 * noise, steps, delta)
    theirs = get_noise_multiplier(
        target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant="rdp"
    )
    assert noise == pytest.approx(theirs, rel=0.01)


def test_without_sampling_epsilon_is_the_gaussian_mechanism_s() -> None:
    """At rate 1 the divergence of order a is a steps / (2 noise^2): no accountant is needed."""
    noise, steps, delta = 5.0, 10, 1e-5
    orders = np.array(RDPAccountant.DEFAULT_ALPHAS)
    divergence = orders * steps / (2 * noise**2)
    bounds = (
        divergence
        + np.log((orders - 1) / orders)
        - (math.log(delta) + np.log(orders)) / (orders - 1)
    )
    assert spent(1.0, noise, steps, delta) == pytest.approx(bounds.min())


@pytest.mark.parametrize("images", [2, 5])
def test_a_patient_of_several_images_has_group_privacy(images: int) -> None:
    rate, noise, steps, delta = 0.02, 4.0, 500, 1e-5
    found = spent_of_patient(rate, noise, steps, delta, images)
    one = spent(rate, noise, steps, delta)
    assert found > images * one  # at the same delta it costs more than so many times one image

    def of_group(log_d: float) -> float:  # the delta that the lemma gives the group
        epsilon = spent(rate, noise, steps, math.exp(log_d))
        return math.exp(log_d) * sum(math.exp(i * epsilon) for i in range(images))

    # The image's delta that it stands on, found from the result: at it, the group's is the asked.
    low, high = -200.0, math.log(delta)
    for _ in range(40):
        middle = (low + high) / 2
        if spent(rate, noise, steps, math.exp(middle)) > found / images:
            low = middle
        else:
            high = middle
    assert of_group(high) == pytest.approx(delta, rel=0.01)
    noise = noise_for(4.0, rate, steps, delta, images)
    assert 3.9 < spent_of_patient(rate, noise, steps, delta, images) <= 4.0


def test_a_budget_that_no_noise_keeps_is_refused() -> None:
    config = resolve("dp", {"epochs": 100_000, "privacy": {"epsilon": 1e-4}})
    with pytest.raises(InvalidValue, match="No noise"):
        planned(config, 1000)


def private(images: int, batch: int, noise: float = 1.0, secret: Secret = SECRET) -> Private:
    plan = Plan(8.0, 1e-5, noise, 1.0, batch, images, 0, 1, True)
    return Private(plan, secret, np.arange(images))


def test_who_takes_part_is_a_function_of_secret_and_step_at_the_accountant_s_rate() -> None:
    one, again = Poisson(private(500, 20)), Poisson(private(500, 20))
    other = Poisson(private(500, 20, secret=Secret(bytes(32))))
    steps = range(2000)
    batches = [one.of_step(k) for k in steps]
    for k in (1999, 0, 7):  # whatever was asked before
        assert np.array_equal(again.of_step(k), batches[k])
    assert not np.array_equal(other.of_step(3), batches[3])
    sizes = np.array([len(batch) for batch in batches])
    # Binomial(500, 0.04): its mean and its variance, each within four standard errors.
    assert abs(sizes.mean() - 20) < 4 * math.sqrt(19.2 / 2000)
    assert abs(sizes.var() - 19.2) < 4 * 19.2 * math.sqrt(2 / 2000)
    often = np.bincount(np.concatenate(batches), minlength=500)
    assert abs(often - 80).max() < 5 * math.sqrt(2000 * 0.04 * 0.96)
    both = sum(0 in b and 1 in b for b in map(set, batches))  # independently of each other
    assert both < 15


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 99)), unique=True),
    st.integers(1, 3),
)
def test_at_most_so_many_of_a_patient_whoever_else_is_there(
    images: list[tuple[str | None, int]], at_most: int
) -> None:
    patients = [patient for patient, _ in images]
    digests = [f"{patient} {number}" for patient, number in images]
    rows = participants(patients, digests, at_most)
    assert list(rows) == sorted(set(rows))
    for name in {"a", "b", "c"} & set(patients):
        own = [row for row in rows if patients[row] == name]
        assert len(own) == min(at_most, patients.count(name))
        without = [i for i, patient in enumerate(patients) if patient != name]
        left = participants([patients[i] for i in without], [digests[i] for i in without], at_most)
        assert [without[i] for i in left] == [row for row in rows if patients[row] != name]
    assert [r for r in rows if patients[r] is None] == [
        i for i, patient in enumerate(patients) if patient is None
    ]


def made_up(images: int = 40) -> Decoded:
    random = np.random.default_rng(0)
    levels = random.integers(0, 256, (images, 64, 64), dtype=np.uint8)
    return Decoded(levels, np.arange(images) % 2, ("a", "b"), "", {})


def game_of(config: RunConfig, about: Private) -> tuple[Game, Batches]:
    game = new_game(config, 2, CPU, EXACT, planned=10**6, private=about)
    return game, Batches(made_up(), config, CPU, private=about)


def test_each_pair_is_clipped_as_a_loop_over_pairs_clips_it() -> None:
    config = resolve("dp", {**SMALL, "privacy": {"clip_norm": 0.3}})
    about = private(40, 8, noise=0.0)
    about = replace(about, plan=replace(about.plan, clip_norm=0.3))
    game, batches = game_of(config, about)
    batch = batches.batch(5)
    assert len(batch.real) > 3
    twin = new_game(config, 2, CPU, EXACT, planned=10**6)  # the same networks, without opacus
    twin.generator.eval()
    with torch.no_grad():
        fake = twin.generator(batch.z, batch.labels)
    expected = [torch.zeros_like(p) for p in twin.discriminator.parameters()]
    lengths = []
    for i in range(len(batch.real)):
        label = batch.labels[i : i + 1]
        real = twin.discriminator(batch.real[i : i + 1], label)
        made = twin.discriminator(fake[i : i + 1], label)
        loss = LOSSES[config.loss].discriminator(real, made)
        gradients = torch.autograd.grad(loss, list(twin.discriminator.parameters()))
        length = torch.cat([g.flatten() for g in gradients]).norm()
        lengths.append(length.item())
        for total, gradient in zip(expected, gradients, strict=True):
            total += gradient * min(1.0, 0.3 / length.item()) / config.batch_size
    assert max(lengths) > 0.3  # else nothing would be clipped
    train_step(game, batch, config, EXACT)
    for p, wanted in zip(game.discriminator.parameters(), expected, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("clip", [0.01, 1.0])
def test_one_planted_image_moves_the_sum_by_no_more_than_the_clip_norm(clip: float) -> None:
    """What the guarantee rests on: with and without an image, whatever is in it."""
    config = resolve("dp", {**SMALL, "privacy": {"clip_norm": clip}})
    about = private(40, 8, noise=0.0)
    about = replace(about, plan=replace(about.plan, clip_norm=clip))
    sums = []
    for planted in (True, False):
        game, batches = game_of(config, about)
        batch = batches.batch(5)
        canary = torch.where(torch.arange(64) % 2 == 0, 1e3, -1e3).expand(1, 1, 64, 64)
        real = torch.cat([batch.real[:-1], canary]) if planted else batch.real[:-1]
        n = len(real)
        batch = replace(batch, real=real, labels=batch.labels[:n], z=batch.z[:n])
        train_step(game, batch, config, EXACT)
        sums.append(
            torch.cat([p.grad.flatten() for p in game.discriminator.parameters()])  # type: ignore[union-attr]
            * config.batch_size
        )
    moved = (sums[0] - sums[1]).norm().item()
    assert 0.9 * clip < moved <= clip * (1 + 1e-4)


def test_the_noise_has_the_deviation_that_the_accountant_assumes() -> None:
    config = resolve("dp", {**SMALL, "discriminator_width": 16})
    about = private(40, 8, noise=3.0)
    game, batches = game_of(config, replace(about, plan=replace(about.plan, clip_norm=0.5)))
    batch = batches.batch(2)
    # A step that drew nobody: noise alone.
    batch = replace(batch, real=batch.real[:0], labels=batch.labels[:0], z=batch.z[:0])
    measures = train_step(game, batch, config, EXACT)
    assert measures.isfinite().all()
    drawn = torch.cat([p.grad.flatten() for p in game.discriminator.parameters()])  # type: ignore[union-attr]
    drawn = drawn * config.batch_size / (3.0 * 0.5)
    n = len(drawn)
    assert n > 100_000
    assert abs(drawn.mean().item()) < 5 / math.sqrt(n)
    assert abs(drawn.var().item() - 1) < 5 * math.sqrt(2 / n)
    assert abs((drawn**4).mean().item() - 3) < 5 * math.sqrt(96 / n)
    first = SECRET.generator(Use.NOISE, 2).standard_normal(5)
    assert np.array_equal(first, SECRET.generator(Use.NOISE, 2).standard_normal(5))
    for use, step in ((Use.NOISE, 3), (Use.CHOICE, 2), (Use.LATENTS, 2)):
        assert not np.array_equal(first, SECRET.generator(use, step).standard_normal(5))
    assert "00010203" not in repr(SECRET)


def test_the_generator_learns_without_the_real_images() -> None:
    """Its step is asked for latents and labels of the public seed, whatever images were drawn."""
    config = resolve("dp", {**SMALL, "privacy": {"generator_every": 2}})
    game, batches = game_of(config, private(40, 8))
    _, others = game_of(config, private(40, 8, secret=Secret(bytes(32))))
    before = [p.clone() for p in game.generator.parameters()]
    for step in range(2):
        mine, theirs = batches.batch(step), others.batch(step)
        assert mine.asked is not None
        assert theirs.asked is not None
        assert all(torch.equal(a, b) for a, b in zip(mine.asked, theirs.asked, strict=True))
        train_step(game, mine, config, EXACT)
        after = list(game.generator.parameters())
        same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert same == (step == 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", "turbo"), ("penalty", 1.0), ("penalty_final", 0.5), ("loss", "relativistic"),
        ("sampling", "balanced"), ("validate_every_kimg", 10.0), ("precision", "bfloat16"),
        ("diffaugment", {"target": 0.6}), ("diffaugment", {"probability": 0.5}),
        ("augmentation", {"rotation": 10}),
    ],
)  # fmt: skip
def test_what_would_void_the_guarantee_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        resolve("dp", {field: value})
    assert caught.value.field == f"config.{field}"
    assert "config.privacy is on" in str(caught.value)
    assert caught.value.remedy
    resolve("dp", {field: value, "privacy": {"epsilon": 0}})  # without privacy it may be had


def test_opacus_is_asked_for_by_name_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(Unavailable) as caught:
        opacus_there()
    assert "'.[dp]'" in str(caught.value.remedy)


def test_other_runs_do_not_import_opacus() -> None:
    """Of the trainer one module does at its top, and the others import that one where it is due."""
    found = set()
    for path in (Path(__file__).parent.parent / "training").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith(("opacus", "training.private_step")) for name in names):
                found.add(path.name)
    assert found == {"private_step.py"}


def test_several_processes_are_refused() -> None:
    check_alone(resolve("dp"), 1)
    check_alone(resolve("turbo"), 2)
    with pytest.raises(InvalidValue, match="2 processes"):
        check_alone(resolve("dp"), 2)
