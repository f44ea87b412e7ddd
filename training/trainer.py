"""Networks and optimisers of a run, and one training step: the adversarial game itself."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam

from library.config import RunConfig
from training import ema, schedules
from training.adam import FusedAdam, Optimiser
from training.batches import Batch
from training.diffaugment import Adaptive, augment
from training.distributed import ALONE, Team
from training.losses import LOSSES, gradient_penalty
from training.networks import (
    Discriminator,
    Generator,
    architecture_of,
    build_discriminator,
    build_generator,
)
from training.precision import Arithmetic
from training.privacy import Private
from training.seeds import seed_torch

if TYPE_CHECKING:
    from training.private_step import Watched

MEASURES = ("loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2")


@dataclass
class Game:
    """Two networks, their optimisers, and the generator's moving average (None: off)."""

    generator: Generator
    discriminator: Discriminator
    average: Generator | None
    optimiser_g: Optimiser
    optimiser_d: Optimiser
    planned: int  # images over which the schedules run
    head_start: int = 0  # images that the discriminator it was begun with had been shown
    adaptive: Adaptive | None = None
    team: Team = ALONE
    # The same networks, in a team with gradients that are means over its processes.
    shared_generator: nn.Module | None = None
    shared_discriminator: nn.Module | None = None
    watched: Watched | None = None  # of a run with differential privacy

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
        others = {"average": self.average, "adaptive": self.adaptive}
        return networks | {name: module for name, module in others.items() if module is not None}


def new_game(
    config: RunConfig,
    classes: int,
    device: torch.device,
    how: Arithmetic,
    team: Team = ALONE,
    planned: int = 1,
    private: Private | None = None,
) -> Game:
    """Networks initialised from the run's seed, on the device, in the chosen layout.

    private: what a run with differential privacy is to be trained under.
    """
    seed_torch(config.seed)
    generator = build_generator(architecture_of(config, classes))
    discriminator = build_discriminator(config, classes)
    for network in (generator, discriminator):
        network.to(device=device, memory_format=how.memory_format)  # type: ignore[call-overload]
    average = copy.deepcopy(generator) if config.ema_half_life_kimg > 0 else None
    rule = config.diffaugment
    adaptive = Adaptive(rule.probability, rule.target).to(device) if rule.target else None
    game = Game(
        generator,
        discriminator,
        average,
        _adam(generator, config, device),
        _adam(discriminator, config, device),
        planned,
        adaptive=adaptive,
        team=team,
        shared_generator=team.shared(generator, device),
        shared_discriminator=team.shared(discriminator, device, len(discriminator.phases) > 1),
    )
    if private is not None:
        from training.private_step import Watched  # opacus, which other runs need not have

        game.watched = Watched(discriminator, cast(Adam, game.optimiser_d), private)
    return game


def _adam(network: nn.Module, config: RunConfig, device: torch.device) -> Optimiser:
    rate, betas = config.learning_rate, (config.beta1, config.beta2)
    if device.type == "cuda":  # a step may be captured, its learning rate is a tensor
        on_card = torch.tensor(rate, device=device)
        return Adam(network.parameters(), on_card, betas, fused=True, capturable=True)
    if config.privacy.active:  # opacus wraps none but torch's
        return Adam(network.parameters(), rate, betas, fused=True)
    return FusedAdam(network.parameters(), rate, betas)


def train_step(game: Game, batch: Batch, config: RunConfig, how: Arithmetic) -> Tensor:
    """Both networks one step on.  Returns the five MEASURES of this step, (5,) on the device."""
    now = schedules.at(config, batch.images, game.planned)
    before_step(game, config, now, batch.images)
    penalty = now.penalty if penalty_due(config, now, batch.step) else None
    if config.privacy.active:
        from training.private_step import play_privately

        measures = play_privately(game, batch, config)
    else:
        measures = play(game, batch, config, how, penalty)
    after_step(game, config, now)
    return measures


def play(
    game: Game, batch: Batch, config: RunConfig, how: Arithmetic, penalty: float | Tensor | None
) -> Tensor:
    """The game's step itself, on the device from end to end.  penalty: None where none is due.

    D(x) and D(G(z)) are the discriminator's mean probabilities of "real", as the public DCGAN code
    prints them: d_g_z1 before the discriminator's update, d_g_z2 after it, at the generator's step.
    """
    generator, discriminator = game.generator, game.discriminator
    judges = [(LOSSES[judge.loss or config.loss], judge) for judge in discriminator.judges]
    # Gradients of gradients in bfloat16 are too coarse on a CPU (docs/training.md).
    exact = penalty is not None and batch.real.device.type == "cpu"
    autocast = how.autocast(batch.real.device, enabled=not exact)

    with autocast:
        fake = (game.shared_generator or generator)(batch.z, batch.labels).float()
        seen_real = _augmented(game, config, batch.real, batch.draws, 0)
        seen = _augmented(game, config, fake, batch.draws, 1)
    with how.autocast(batch.real.device):
        # Of generated images once for both steps, which see the same ones.
        fixed = discriminator.fixed(seen)
        with torch.no_grad():
            fixed_real = discriminator.fixed(seen_real)
    if exact:
        fixed, fixed_real = _whole(fixed), _whole(fixed_real)
    seen_fake = seen.detach()
    if penalty is not None:
        seen_real.requires_grad_(True)
        seen_fake.requires_grad_(True)
    with autocast:
        network = game.shared_discriminator or discriminator
        on_real = network(seen_real, batch.labels, *fixed_real).float()  # (n, columns)
        on_fake = network(seen_fake, batch.labels, *(each.detach() for each in fixed)).float()
        objective = loss_d = sum_of(
            judge.weight * loss.discriminator(judge.of(on_real), judge.of(on_fake))
            for loss, judge in judges
        )
    if penalty is not None:
        both = gradient_penalty(on_real[:, 0], seen_real)
        both = both + gradient_penalty(on_fake[:, 0], seen_fake)
        objective = loss_d + penalty / 2 * config.penalty_every * both
    game.optimiser_d.zero_grad()
    objective.backward()  # type: ignore[no-untyped-call]
    game.optimiser_d.step()

    # The generator's step needs gradients through the discriminator, not of it: a third less work.
    discriminator.requires_grad_(False)
    with autocast:
        judged = discriminator(seen, batch.labels, *fixed).float()
        # The real images' logits of before the update: asking again would cost a pass.
        real = on_real.detach()
        loss_g = sum_of(
            judge.weight * loss.generator(judge.of(real), judge.of(judged))
            for loss, judge in judges
        )
    game.optimiser_g.zero_grad()
    loss_g.backward()  # type: ignore[no-untyped-call]
    game.optimiser_g.step()
    discriminator.requires_grad_(True)

    with torch.no_grad():
        if game.adaptive is not None:
            right = game.team.mean((on_real[:, 0] - on_fake[:, 0]).sign().mean())
            game.adaptive.look(right, config.batch_size)
        loss = judges[0][0]
        d_x, before = loss.probabilities(on_real[:, 0], on_fake[:, 0])
        _, after = loss.probabilities(on_real[:, 0], judged[:, 0])
        found = [loss_d.detach(), loss_g.detach(), d_x, before, after]
        return game.team.mean(torch.stack(found))


def penalty_due(config: RunConfig, now: schedules.Now, step: int) -> bool:
    return now.penalty > 0 and step % config.penalty_every == 0


def _whole(maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """In float32, for weights that are not cast."""
    return tuple(each.float() for each in maps)


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()


def before_step(game: Game, config: RunConfig, now: schedules.Now, images: int) -> None:
    """Bring optimisers and networks to the schedules' values."""
    for optimiser in (game.optimiser_g, game.optimiser_d):
        for group in optimiser.param_groups:
            group["betas"] = (config.beta1, now.beta2)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(now.learning_rate)
            else:
                group["lr"] = now.learning_rate
    for network in (game.generator, game.discriminator, game.average):
        if network is not None:
            network.label_weight = now.label_weight
    game.discriminator.begin(game.head_start + images)


def after_step(game: Game, config: RunConfig, now: schedules.Now) -> None:
    if game.average is not None:
        ema.update(game.average, game.generator, config.batch_size, now.ema_half_life_kimg)


def _augmented(
    game: Game, config: RunConfig, images: Tensor, draws: Tensor | None, kind: int
) -> Tensor:
    """What the discriminator sees of images; kind 0: real, 1: generated."""
    if draws is None:
        return images
    rule = config.diffaugment
    probability = game.adaptive.probability if game.adaptive is not None else rule.probability
    return augment(images, draws[kind], rule, probability)
