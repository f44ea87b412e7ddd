"""What the two networks play for, on logits; a pair of functions each.

Logits are (n, columns): each column is judged for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

OfPair = Callable[[Tensor, Tensor], Tensor]  # logits of real and of generated images


@dataclass(frozen=True)
class Loss:
    """discriminator, generator: to be made small, scalars.  difference: judges pairs alone.

    In the generator's loss the real logits are constants, those of the discriminator's step.
    """

    discriminator: OfPair
    generator: OfPair
    difference: bool = False

    def probabilities(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Means of D(x) and D(G(z)); of pairs, that the one is the more real, and the other."""
        if self.difference:
            real, fake = real - fake, fake - real
        return real.sigmoid().mean(), fake.sigmoid().mean()


LOSSES = {
    # -E log D(x) - E log(1 - D(G(z))): the paper's equation 1, and DCGAN's non-saturating form
    # of the generator's (Goodfellow et al. 2014).
    "standard": Loss(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda _real, fake: softplus(-fake).mean(),
    ),
    # E log(1 + exp(D(G(z)) - D(x))): each generated image against a real one, here of its class
    # (Jolicoeur-Martineau 2019; with R1 and R2 it converges, Huang et al. 2024).
    "relativistic": Loss(
        lambda real, fake: softplus(fake - real).mean(),
        lambda real, fake: softplus(real - fake).mean(),
        difference=True,
    ),
    # Lim and Ye 2017.
    "hinge": Loss(
        lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        lambda _real, fake: -fake.mean(),
    ),
}


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """E |d logits / d images|^2: R1 on real images, R2 on generated ones (Mescheder et al. 2018).

    images (n, 1, r, r) must require gradients; the result can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()
