"""Checkpoints: what they restore, which are kept, and what a damaged one leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from library.decoded import Decoded
from library.runs import checkpoints
from tests.training.games import CPU, PLAIN, game_of, state_of, tensors_of, tiny
from training.batches import Batches
from training.checkpoints import State, load_checkpoint, save_checkpoint
from training.trainer import train_step

pytestmark = pytest.mark.usefixtures("one_thread")


def trained_state(data: Decoded, steps: int = 1) -> State:
    config = tiny()
    game = game_of(config)
    batches = Batches(data, config, CPU)
    for step in range(steps):
        train_step(game, batches.batch(step), config, PLAIN)
    return state_of(game, steps)


def test_a_checkpoint_restores_every_tensor(data: Decoded, tmp_path: Path) -> None:
    state = trained_state(data)
    state.counters["sums"] = [0.1, 1 / 3, 1e-300, 2.0, -0.7]
    path = save_checkpoint(tmp_path, state)
    assert path.name == "0000000001.safetensors"
    fresh = trained_state(data)
    for optimiser in fresh.optimisers.values():
        optimiser.load_state_dict({**optimiser.state_dict(), "state": {}})
    for module in fresh.modules.values():
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    assert tensors_of(fresh) != tensors_of(state)
    assert load_checkpoint(tmp_path, fresh) == (path, [])
    assert tensors_of(fresh) == tensors_of(state)
    assert fresh.counters == state.counters


def test_the_two_newest_checkpoints_are_kept(data: Decoded, tmp_path: Path) -> None:
    state = trained_state(data)
    for step in (1, 5, 9, 12):
        state.counters["step"] = step
        save_checkpoint(tmp_path, state)
    assert [int(path.stem) for path in checkpoints(tmp_path)] == [12, 9]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "no counters"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_older(
    damage: str, data: Decoded, tmp_path: Path
) -> None:
    state = trained_state(data)
    older = save_checkpoint(tmp_path, state)
    state.counters["step"] = 20
    newest = save_checkpoint(tmp_path, state)
    whole = newest.read_bytes()
    newest.write_bytes(
        {
            "empty": b"",
            "cut": whole[:-100],
            "text": b"not a checkpoint",
            "no counters": whole.replace(b'"counters"', b'"countess"', 1),
        }[damage]
    )
    fresh = trained_state(data, 0)
    path, damaged = load_checkpoint(tmp_path, fresh)
    assert path == older
    assert fresh.counters["step"] == 1
    assert len(damaged) == 1
    assert newest.name in damaged[0]
    # From here on the damaged one counts as none of the two that are kept.
    for step in (2, 3):
        fresh.counters["step"] = step
        save_checkpoint(tmp_path, fresh)
    assert [int(path.stem) for path in checkpoints(tmp_path)] == [3, 2]


def test_without_a_whole_checkpoint_a_run_begins_anew(data: Decoded, tmp_path: Path) -> None:
    state = trained_state(data)
    before = tensors_of(state)
    assert load_checkpoint(tmp_path / "none", state) == (None, [])
    (tmp_path / "0000000003.safetensors").write_bytes(b"")
    (tmp_path / ".0000000004.safetensors.abc.tmp").write_bytes(b"half")
    path, damaged = load_checkpoint(tmp_path, state)
    assert path is None
    assert len(damaged) == 1
    assert tensors_of(state) == before


def test_half_a_checkpoint_of_a_killed_trainer_is_removed(data: Decoded, tmp_path: Path) -> None:
    left = tmp_path / ".0000000004.safetensors.abc.tmp"
    left.write_bytes(b"half")
    save_checkpoint(tmp_path, trained_state(data))
    assert not left.exists()
