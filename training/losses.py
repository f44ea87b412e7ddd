"""The paper's objective (its equation 1; Goodfellow et al. 2014), on logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))): binary cross-entropy, summed over the two halves."""
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-E log D(G(z)): the non-saturating form, as in DCGAN."""
    return softplus(-fake).mean()
