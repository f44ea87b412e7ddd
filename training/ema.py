"""The moving average of the generator's weights, by images shown."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update(average: nn.Module, current: nn.Module, batch: int, half_life_kimg: float) -> None:
    """average <- average + (1 - beta)(current - average), beta = 0.5 ** (batch / half-life).

    Buffers (batch norm statistics) are averaged alike, so that they fit the averaged weights.
    """
    weight = 1 - 0.5 ** (batch / (half_life_kimg * 1000))
    mine = [*average.parameters(), *(b for b in average.buffers() if b.is_floating_point())]
    theirs = [*current.parameters(), *(b for b in current.buffers() if b.is_floating_point())]
    torch._foreach_lerp_(mine, theirs, weight)
