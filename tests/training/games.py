"""The networks of a small run, and their state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from library.config import RunConfig, resolve
from tests.trainer import TINY
from training.adam import Optimiser
from training.checkpoints import State
from training.precision import Arithmetic
from training.trainer import Game, new_game

CPU = torch.device("cpu")
PLAIN = Arithmetic("float32", False)


def tiny(**overrides: Any) -> RunConfig:
    return resolve("paper", {**TINY, **overrides})


def game_of(config: RunConfig) -> Game:
    return new_game(config, 2, CPU, PLAIN)


def state_of(game: Game, step: int = 0) -> State:
    modules: dict[str, nn.Module] = {
        "generator": game.generator,
        "discriminator": game.discriminator,
    }
    optimisers: dict[str, Optimiser] = {"g": game.optimiser_g, "d": game.optimiser_d}
    return State(modules, optimisers, {"step": step, "sums": [0.0] * 5, "seconds": 0.0})


def tensors_of(state: State) -> dict[str, bytes]:
    found = {
        f"{name}.{key}": tensor.numpy().tobytes()
        for name, module in state.modules.items()
        for key, tensor in module.state_dict().items()
    }
    for name, optimiser in state.optimisers.items():
        for index, values in optimiser.state_dict()["state"].items():
            for key, tensor in values.items():
                found[f"{name}.{index}.{key}"] = tensor.numpy().tobytes()
    return found
