"""What changes during a run: functions of the share of the planned images that has been shown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from library.config import RunConfig

# By stairs: where steps are captured, each value takes a graph of its own.
_BETA2_DIGITS = 2
_RAMP_STEPS = 20


@dataclass(frozen=True)
class Now:
    """The values of one step."""

    learning_rate: float
    beta2: float
    penalty: float
    ema_half_life_kimg: float
    label_weight: float  # 0: classes are not told, 1: fully


def at(config: RunConfig, images: int, planned: int) -> Now:
    """The values after `images` of the `planned` ones have been shown."""
    share = min(1.0, images / planned)
    half_life = config.ema_half_life_kimg
    if config.ema_ramp:
        # At least a batch: early averages must not be those of the first weights.
        shown = max(images, config.batch_size) / 1000
        half_life = min(half_life, config.ema_ramp * shown)
    ramp = config.label_ramp
    return Now(
        _cosine(config.learning_rate, config.learning_rate_final, share),
        _beta2(config, share),
        _cosine(config.penalty, config.penalty_final, share),
        half_life,
        min(1.0, math.floor(share / ramp * _RAMP_STEPS) / _RAMP_STEPS) if ramp else 1.0,
    )


def _beta2(config: RunConfig, share: float) -> float:
    value = _cosine(config.beta2, config.beta2_final, share)
    return round(value, _BETA2_DIGITS) if config.beta2_final else value


def _cosine(first: float, final: float, share: float) -> float:
    if not final:
        return first
    return final + (first - final) * (1 + math.cos(math.pi * share)) / 2
