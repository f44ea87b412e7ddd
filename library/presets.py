"""Named starting points of a training configuration."""

from __future__ import annotations

from typing import Any

# The paper, its contradictions settled as in docs/paper.md: Adam 2e-4 and beta1 0.5, batch 50.
_PAPER: dict[str, Any] = {"epochs": 500, "batch_size": 50}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "paper-lr-0.002": {**_PAPER, "learning_rate": 0.002},
    "paper-beta-0.55": {**_PAPER, "beta1": 0.55},
    # A first look within minutes on a laptop: half the widths, an EMA to steady it.
    "quick": {
        "epochs": 5,
        "batch_size": 32,
        "generator_width": 32,
        "discriminator_width": 32,
        "ema_half_life_kimg": 2.0,
    },
}

DESCRIPTIONS = {
    "paper": "The paper's DCGAN: 64x64, widths 64, Adam 2e-4, batch 50, 500 epochs.",
    "paper-lr-0.002": "The paper with the learning rate of its table 1, ten times larger.",
    "paper-beta-0.55": "The paper with the beta of its table 1.",
    "quick": "A first look: half the widths, 5 epochs, with EMA.",
}
