"""The jobs that are disturbed, and the same ones undisturbed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from library.runs import RunFolder
from tests.service.conftest import run_training, train_request

SEEDS = (11, 12)
EPOCHS = 40


def config(dice: random.Random) -> dict[str, Any]:
    return {"seed": dice.choice(SEEDS), "epochs": EPOCHS, "checkpoint_seconds": 0.1}


def undisturbed(folder: Path, dataset: Path) -> dict[int, RunFolder]:
    """By seed, the run that nobody disturbed."""
    found = {}
    for seed in SEEDS:
        (folder / str(seed)).mkdir(parents=True)
        request = train_request(dataset, **{**config(random.Random(0)), "seed": seed})
        found[seed] = RunFolder(run_training(request, folder / str(seed)))
    return found
