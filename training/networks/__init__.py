"""Networks by family: what `architecture` in model.json names."""

from __future__ import annotations

from typing import Any

from library.config import RunConfig
from library.errors import Unusable
from training.networks import dcgan, dpgan, flagship, lite, turbo
from training.networks.base import Discriminator, Generator

__all__ = [
    "FAMILIES",
    "Discriminator",
    "Generator",
    "architecture_of",
    "build_discriminator",
    "build_generator",
]

# Each has a Generator(resolution, latent_dim, width, classes) and a
# Discriminator(resolution, width, classes).
FAMILIES: dict[str, Any] = {
    "dcgan": dcgan,
    "lite": lite,
    "flagship": flagship,
    "turbo": turbo,
    "dpgan": dpgan,
}


def architecture_of(config: RunConfig, classes: int) -> dict[str, Any]:
    """The generator's family and arguments, as a version records them."""
    return {
        "family": config.family,
        "resolution": config.resolution,
        "latent_dim": config.latent_dim,
        "width": config.generator_width,
        "classes": classes if config.conditional else 0,
    }


def build_generator(architecture: dict[str, Any]) -> Generator:
    """The generator that `architecture` names.  Raises Unusable for one that is not known."""
    arguments = dict(architecture)
    family = arguments.pop("family", None)
    if family not in FAMILIES:
        raise Unusable(
            f"The architecture family {family!r} is not known to this version of Synthorax.",
            remedy="It was probably published by a newer one: update Synthorax.",
        )
    generator: Generator = FAMILIES[family].Generator(**arguments)
    return generator


def build_discriminator(config: RunConfig, classes: int) -> Discriminator:
    """The discriminator of a configuration's family."""
    conditional = classes if config.conditional else 0
    discriminator: Discriminator = FAMILIES[config.family].Discriminator(
        config.resolution, config.discriminator_width, conditional
    )
    return discriminator
