"""A training step with differential privacy: DP-SGD on the discriminator (Abadi et al. 2016).

The discriminator alone sees real images.  Its gradient is a sum over pairs of a real and a
generated image, each clipped to one length, with Gaussian noise, divided by the expected number of
pairs.  The generator learns from the discriminator alone, with latents and labels that no real
image decides: whatever it learns has been paid for (post-processing).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor
from torch.optim import Adam

from library.config import RunConfig
from training.batches import Batch
from training.losses import LOSSES
from training.networks import Discriminator
from training.privacy import Private, Use

if TYPE_CHECKING:
    from training.trainer import Game


class NoisedAdam(DPOptimizer):  # type: ignore[misc]  # opacus has no types
    """opacus' optimiser, its noise drawn from the run's secret at a step."""

    def __init__(self, optimiser: Adam, private: Private) -> None:
        super().__init__(
            optimiser,
            noise_multiplier=private.plan.noise_multiplier,
            max_grad_norm=private.plan.clip_norm,
            expected_batch_size=private.plan.batch_size,
        )
        self._secret, self._at = private.secret, 0

    def update(self, step: int) -> None:
        self._at = step
        self.step()

    def add_noise(self) -> None:
        random = self._secret.generator(Use.NOISE, self._at)
        deviation = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            drawn = random.standard_normal(tuple(p.shape), "float32")
            noise = torch.from_numpy(drawn).to(p.device) * deviation
            p.grad = (p.summed_grad + noise).view_as(p)
            p.summed_grad._processed = True  # opacus: a sum is noised once


class Watched:
    """The discriminator and its optimiser, with gradients of single pairs."""

    def __init__(self, discriminator: Discriminator, optimiser: Adam, private: Private) -> None:
        self.secret, self.plan = private.secret, private.plan
        self.samples = GradSampleModule(discriminator, loss_reduction="sum")
        self.samples.disable_hooks()
        self.optimiser = NoisedAdam(optimiser, private)

    def per_pair(self, loss: Tensor, pairs: int) -> None:
        """Gradients of a sum over rows: the first `pairs` of them real, as many generated."""
        with warnings.catch_warnings():
            # Of the first layers: pixels and labels have no gradient, as is meant.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            loss.backward()  # type: ignore[no-untyped-call]
        for p in self.optimiser.params:
            p.grad_sample[:pairs] += p.grad_sample[pairs:]  # in place: they fill most of the memory
            p.grad_sample = p.grad_sample[:pairs]

    def of_nobody(self) -> None:
        """A step that drew no image: noise alone."""
        for p in self.optimiser.params:
            p.grad_sample = p.new_zeros((0, *p.shape))


def play_privately(game: Game, batch: Batch, config: RunConfig) -> Tensor:
    """As training.trainer.play: the five MEASURES.  Those of real images are for the operator."""
    watched, loss = game.watched, LOSSES[config.loss]
    if watched is None or batch.asked is None:
        raise ValueError("a step with differential privacy needs the plan of its run")
    generator, discriminator = game.generator, game.discriminator
    pairs = len(batch.real)
    watched.optimiser.zero_grad()
    told = torch.zeros(3, device=batch.z.device)  # loss_d, D(x), D(G(z)) before the update
    if pairs:
        # With the running statistics: in a batch's own, an image of one pair would depend on the
        # labels and the number of the others.
        generator.eval()
        with torch.no_grad():
            fake = generator(batch.z, batch.labels)
        generator.train()
        watched.samples.enable_hooks()
        both = discriminator(torch.cat([batch.real, fake]), batch.labels.repeat(2))  # (2n, 1)
        on_real, on_fake = both[:pairs], both[pairs:]
        mean = loss.discriminator(on_real, on_fake)
        watched.per_pair(mean * pairs, pairs)
        watched.samples.disable_hooks()
        with torch.no_grad():
            told = torch.stack([mean.detach(), *loss.probabilities(on_real, on_fake)])
    else:
        watched.of_nobody()
    watched.optimiser.update(batch.step)

    z, labels = batch.asked
    learns = (batch.step + 1) % config.privacy.generator_every == 0
    discriminator.requires_grad_(False)
    with torch.set_grad_enabled(learns):
        judged = discriminator(generator(z, labels), labels)
        loss_g = loss.generator(judged, judged)  # of the real logits, no loss here takes any
    if learns:
        game.optimiser_g.zero_grad()
        loss_g.backward()  # type: ignore[no-untyped-call]
        game.optimiser_g.step()
    discriminator.requires_grad_(True)
    after = judged.detach().sigmoid().mean()
    return torch.stack([told[0], loss_g.detach(), told[1], told[2], after])
