"""Named starting points of a training configuration."""

from __future__ import annotations

from typing import Any

# The paper, its contradictions settled as in docs/paper.md: Adam 2e-4 and beta1 0.5, batch 50.
_PAPER: dict[str, Any] = {"epochs": 500, "batch_size": 50}

# What the families of later years share: classes, no momentum, EMA, and the weights chosen by KID.
# Each augments what its discriminator sees, as little as it needs: brightness and place that are
# always moved are a variety that it cannot miss (docs/quality.md).
_MODERN: dict[str, Any] = {
    "conditional": True,
    "sampling": "balanced",
    "batch_size": 64,
    "latent_dim": 128,
    "beta1": 0.0,
    "beta2": 0.99,
    "ema_half_life_kimg": 10.0,
    "ema_ramp": 0.05,
    "validate_every_kimg": 20.0,
}

_LITE: dict[str, Any] = {
    **_MODERN,
    "generator_width": 48,
    "discriminator_width": 48,
    "loss": "relativistic",
    "penalty_every": 8,
    "learning_rate_final": 2e-5,
}

# What differential privacy leaves: no penalty, no augmentation, no choice by real images.  Noise is
# as long as the root of the number of the discriminator's weights, so these are few; four of its
# steps to one of the generator (Bie, Kamath and Zhang 2023), whose samples are all alike otherwise
# (docs/training.md).
_DP: dict[str, Any] = {
    "family": "dpgan",
    "conditional": True,
    "epochs": 30,
    "batch_size": 64,
    "latent_dim": 64,
    "generator_width": 12,
    "discriminator_width": 8,
    "learning_rate": 1e-3,
    "beta1": 0.0,
    "beta2": 0.99,
    "ema_half_life_kimg": 2.0,
    "choose": "last",
    "precision": "float32",
    "privacy": {"epsilon": 8.0, "generator_every": 4},
}

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
    "lite": {
        **_LITE,
        "family": "lite",
        "epochs": 150,
        "penalty": 0.1,
        "diffaugment": {"probability": 0.5},
    },
    "turbo": {
        **_LITE,
        "family": "turbo",
        "epochs": 75,
        "penalty": 1.0,
        "diffaugment": {"target": 0.6},
        "validate_every_kimg": 10.0,
    },
    "flagship": {
        **_MODERN,
        "family": "flagship",
        "epochs": 200,
        "latent_dim": 64,
        "batch_size": 128,
        # 192 channels cost 2.4 times as much, a penalty each step 2.9 times (docs/performance.md).
        "generator_width": 96,
        "discriminator_width": 96,
        "loss": "relativistic",
        "penalty": 2.0,
        "penalty_final": 0.2,
        "penalty_every": 4,
        "learning_rate_final": 5e-5,
        "beta2": 0.9,
        "beta2_final": 0.99,
        "label_ramp": 0.2,
        "diffaugment": {"target": 0.6},
    },
    "dp": _DP,
}

DESCRIPTIONS = {
    "paper": "The paper's DCGAN: 64x64, widths 64, Adam 2e-4, batch 50, 500 epochs.",
    "paper-lr-0.002": "The paper with the learning rate of its table 1, ten times larger.",
    "paper-beta-0.55": "The paper with the beta of its table 1.",
    "quick": "A first look: half the widths, 5 epochs, with EMA.",
    "lite": "Conditional, of DCGAN's size, with modern losses; for a CPU.",
    "turbo": "A light generator, a discriminator with frozen features; the nearest to real images.",
    "flagship": "A modern residual GAN, without features from elsewhere; for a GPU and an hour.",
    "dp": "Differentially private, epsilon 8 a patient: blurred images with a guarantee.",
}

# Of a job that names none: on every device the nearest to real images in the time that it takes
# (docs/quality.md).
RECOMMENDED = "turbo"
