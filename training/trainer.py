"""Networks and optimisers of a run, and one training step: the adversarial game itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam

from library.config import RunConfig
from training import ema
from training.batches import Batch
from training.distributed import ALONE, Team
from training.losses import discriminator_loss, generator_loss
from training.networks import Discriminator, Generator, architecture_of, build_generator
from training.precision import Arithmetic
from training.seeds import seed_torch

MEASURES = ("loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2")


@dataclass
class Game:
    """Two networks, their optimisers, and the generator's moving average (None: off)."""

    generator: Generator
    discriminator: Discriminator
    average: Generator | None
    optimiser_g: Adam
    optimiser_d: Adam
    team: Team = ALONE
    # The same networks, in a team with gradients that are means over its processes.
    shared_generator: nn.Module | None = None
    shared_discriminator: nn.Module | None = None

    @property
    def sampler(self) -> Generator:
        """The generator whose samples are shown and published."""
        return self.average if self.average is not None else self.generator

    def modules(self) -> dict[str, nn.Module]:
        """The networks by the names that a checkpoint knows them by."""
        networks: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        return networks if self.average is None else {**networks, "average": self.average}


def new_game(
    config: RunConfig, classes: int, device: torch.device, how: Arithmetic, team: Team = ALONE
) -> Game:
    """Networks initialised from the run's seed, on the device, in the chosen layout."""
    seed_torch(config.seed)
    architecture = architecture_of(config, classes)
    generator = build_generator(architecture)
    discriminator = Discriminator(
        config.resolution, config.discriminator_width, architecture["classes"]
    )
    for network in (generator, discriminator):
        network.to(device=device, memory_format=how.memory_format)  # type: ignore[call-overload]
    average = copy.deepcopy(generator) if config.ema_half_life_kimg > 0 else None
    return Game(
        generator,
        discriminator,
        average,
        _adam(generator, config),
        _adam(discriminator, config),
        team,
        team.shared(generator, device),
        team.shared(discriminator, device),
    )


def _adam(network: nn.Module, config: RunConfig) -> Adam:
    betas = (config.beta1, config.beta2)
    return Adam(network.parameters(), lr=config.learning_rate, betas=betas, fused=True)


def judge(
    discriminator: Discriminator, images: Tensor, labels: Tensor, shared: nn.Module | None = None
) -> Tensor:
    """Logits (n,) float32 in no particular order; each class is a batch of its own.

    The discriminator's batch norm then sees when a class lacks variety.  In one mixed batch the
    variety of a large class hides the loss of it in a small one.  Measured in docs/training.md: it
    keeps twice the variety in the first 15 epochs, and does not prevent a later collapse.
    """
    network = shared or discriminator
    if discriminator.embedding is None:
        mixed: Tensor = network(images)
        return mixed.float()
    groups = [labels == index for index in range(discriminator.embedding.num_embeddings)]
    logits = [network(images[g], labels[g]) for g in groups if bool(g.any())]
    return torch.cat(logits).float()


def train_step(game: Game, batch: Batch, config: RunConfig, how: Arithmetic) -> Tensor:
    """Both networks one step on.  Returns the five MEASURES of this step, (5,) on the device.

    D(x) and D(G(z)) are the discriminator's mean probabilities of "real", as the public DCGAN code
    prints them: d_g_z1 before the discriminator's update, d_g_z2 after it, at the generator's step.
    """
    generator, discriminator = game.generator, game.discriminator
    autocast = how.autocast(batch.real.device)

    with autocast:
        fake = (game.shared_generator or generator)(batch.z, batch.fake_labels)
        shared = game.shared_discriminator
        on_real = judge(discriminator, batch.real, batch.real_labels, shared)
        on_fake = judge(discriminator, fake.detach(), batch.fake_labels, shared)
        loss_d = discriminator_loss(on_real, on_fake)
    game.optimiser_d.zero_grad()
    loss_d.backward()  # type: ignore[no-untyped-call]
    game.optimiser_d.step()

    # The generator's step needs gradients through the discriminator, not of it: a third less work.
    discriminator.requires_grad_(False)
    with autocast:
        judged = judge(discriminator, fake, batch.fake_labels)
        loss_g = generator_loss(judged)
    game.optimiser_g.zero_grad()
    loss_g.backward()  # type: ignore[no-untyped-call]
    game.optimiser_g.step()
    discriminator.requires_grad_(True)

    if game.average is not None:
        ema.update(game.average, generator, config.batch_size, config.ema_half_life_kimg)
    with torch.no_grad():
        probabilities = [logits.sigmoid().mean() for logits in (on_real, on_fake, judged)]
        return game.team.mean(torch.stack([loss_d.detach(), loss_g.detach(), *probabilities]))
