"""What a version's discriminator says of real images: the attack of somebody who has it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.images import Images
from library.atomic import read_json
from library.requests import read_request
from library.runs import RunFolder
from training.checkpoints import State, load_checkpoint
from training.precision import Arithmetic
from training.trainer import new_game

Scores = NDArray[np.float64]
_BATCH = 64


def member_scores(run: RunFolder, train: Images, reference: Images) -> tuple[Scores, Scores] | None:
    """Logits of the newest checkpoint's discriminator on both sets; None without one."""
    if not run.checkpoints.is_dir() or not run.request.is_file():
        return None
    config = read_request(run.request).config
    classes = len(read_json(run.dataset)["labels"])
    game = new_game(config, classes, torch.device("cpu"), Arithmetic("float32", False))
    path, _ = load_checkpoint(run.checkpoints, State(game.modules(), {}, {}))
    if path is None:
        return None
    network = game.discriminator.eval()
    return _logits(network, train), _logits(network, reference)


@torch.no_grad()
def _logits(network: torch.nn.Module, images: Images) -> Scores:
    found = []
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        levels = torch.from_numpy(np.ascontiguousarray(images.levels[part])).float()
        labels = torch.from_numpy(images.classes[part])
        logits = network(levels[:, None] / 127.5 - 1.0, labels)
        found.append(logits[:, 0].double().numpy())
    return np.concatenate(found)
