"""A training step, the moving average of its weights, and what a class is judged by."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from library.decoded import Decoded
from tests.training.games import CPU, PLAIN, game_of, state_of, tensors_of, tiny
from training import ema
from training.batches import Batches
from training.networks.dcgan import Generator
from training.trainer import train_step

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_step_moves_both_networks_and_measures_them(data: Decoded) -> None:
    config = tiny()
    game = game_of(config)
    before = tensors_of(state_of(game))
    measures = train_step(game, Batches(data, config, CPU).batch(0), config, PLAIN)
    after = tensors_of(state_of(game))
    for name in ("generator.main.0.weight", "discriminator.main.0.weight"):
        assert before[name] != after[name]
    loss_d, loss_g, d_x, d_g_z1, d_g_z2 = measures.tolist()
    assert measures.isfinite().all()
    assert all(0 < p < 1 for p in (d_x, d_g_z1, d_g_z2))
    # Jensen: a mean of -log p is at least -log of the mean of p.
    assert loss_g >= -math.log(d_g_z2) - 1e-6
    assert loss_d >= -math.log(d_x) - math.log(1 - d_g_z1) - 1e-6
    assert all(p.requires_grad for p in game.discriminator.parameters())


def test_the_moving_average_has_its_half_life() -> None:
    average, current = Generator(64, 10, 4), Generator(64, 10, 4)
    names = ("main.0.weight", "main.1.running_mean")
    for network, level in ((average, 0.0), (current, 1.0)):
        for name in names:
            nn.init.constant_(network.state_dict()[name], level)
    untouched = {k: v.clone() for k, v in current.state_dict().items()}
    for shown in range(1, 11):
        ema.update(average, current, 100, 0.5)
        expected = 1 - 0.5 ** (shown * 100 / 500)
        for name in names:
            tensor = average.state_dict()[name]
            torch.testing.assert_close(tensor, torch.full_like(tensor, expected))
    for key, value in current.state_dict().items():
        assert torch.equal(value, untouched[key])


def test_without_a_half_life_there_is_no_average(data: Decoded) -> None:
    game = game_of(tiny(ema_half_life_kimg=0))
    assert game.average is None
    assert game.sampler is game.generator
    averaged = game_of(tiny())
    assert averaged.sampler is averaged.average
    config = tiny()
    train_step(averaged, Batches(data, config, CPU).batch(0), config, PLAIN)
    assert averaged.average is not None
    mine, theirs = averaged.average.state_dict(), averaged.generator.state_dict()
    assert not torch.equal(mine["main.0.weight"], theirs["main.0.weight"])


def test_each_class_is_judged_as_a_batch_of_its_own(data: Decoded) -> None:
    config = tiny(conditional=True)
    network = game_of(config).discriminator
    batch = Batches(data, config, CPU).batch(0)
    judged = network(batch.real, batch.labels)
    for c in range(2):
        own = batch.labels == c
        assert 0 < int(own.sum()) < len(judged)
        assert torch.equal(judged[own], network(batch.real[own], batch.labels[own]))
    mixed = network.eval()(batch.real, batch.labels)
    assert not torch.allclose(judged, mixed)
