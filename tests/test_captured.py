"""Captured steps leave the weights that uncaptured ones do.  The graphs need an NVIDIA card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from library.config import RunConfig, resolve
from library.decoded import Decoded
from training.batches import Batches
from training.captured import stepper, steps_to_settle
from training.failures import is_out_of_memory
from training.precision import Arithmetic, prepare
from training.trainer import Game, new_game, train_step

CARD = torch.cuda.is_available()
HOW = Arithmetic("bfloat16", True)
STEPS = 20


def config_of(preset: str) -> RunConfig:
    small = {"generator_width": 16, "discriminator_width": 16, "batch_size": 16, "seed": 3}
    return resolve(preset, {**small, "precision": "bfloat16", "deterministic": True})


def made_up(count: int = 64) -> Decoded:
    levels = np.random.default_rng(0).integers(0, 256, (count, 64, 64), dtype=np.uint8)
    return Decoded(levels, np.arange(count) % 2, ("A", "B"), "", {})


@pytest.mark.skipif(not CARD, reason="CUDA graphs need an NVIDIA card")
@pytest.mark.parametrize("preset", ["paper", "lite", "turbo", "flagship"])
def test_captured_steps_leave_the_bytes_of_uncaptured_ones(preset: str) -> None:
    """Through a penalty that is due at times, a phase that begins, labels that are ramped in."""
    device = torch.device("cuda")
    config, data = config_of(preset), made_up()
    prepare(device, 1, deterministic=True)
    planned = STEPS * config.batch_size
    classes = 2 if config.conditional else 0
    plain, graphs = (new_game(config, classes, device, HOW, planned=planned) for _ in range(2))
    last = plain.discriminator.phases[-1]
    plain.head_start = graphs.head_start = max(0, last - planned // 2)
    batches = Batches(data, config, device)
    step = stepper(graphs, config, HOW, device)
    for k in range(STEPS):
        batch = replace(batches.batch(k), step=k, images=k * config.batch_size)
        expected = train_step(plain, batch, config, HOW)
        torch.testing.assert_close(step(batch), expected, rtol=0, atol=0)
    for one, other in zip(weights_of(plain), weights_of(graphs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def weights_of(game: Game) -> list[torch.Tensor]:
    return [t for module in game.modules().values() for t in module.state_dict().values()]


def test_a_cpu_takes_its_steps_one_by_one() -> None:
    config, device = config_of("lite"), torch.device("cpu")
    one, other = (new_game(config, 2, device, HOW, planned=64) for _ in range(2))
    batch = Batches(made_up(), config, device).batch(0)
    expected = train_step(one, batch, config, HOW)
    torch.testing.assert_close(stepper(other, config, HOW, device)(batch), expected, rtol=0, atol=0)
    for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("preset", "conditional", "wanted"),
    [("paper", False, True), ("paper", True, False), ("turbo", True, True)],
)
def test_a_network_that_asks_for_numbers_is_not_captured(
    preset: str, conditional: bool, wanted: bool
) -> None:
    config = replace(config_of(preset), conditional=conditional)
    game = new_game(config, 2, torch.device("cpu"), HOW)
    assert game.discriminator.capturable is wanted


def test_both_kinds_of_steps_are_captured_once_they_have_settled() -> None:
    config = config_of("lite")  # a penalty each eighth step
    due = [k % config.penalty_every == 0 for k in range(steps_to_settle(config))]
    assert due.count(True) == 3
    assert due.count(False) > 3
    assert steps_to_settle(config_of("paper")) == 3


def test_memory_that_ends_inside_a_capture_is_still_too_little_memory() -> None:
    def broken_capture() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError) as caught:
        broken_capture()
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("something else"))
