"""What a configuration must leave out, so that a run is as private as its card says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from library.errors import InvalidValue

if TYPE_CHECKING:
    from library.config import RunConfig

# Families whose discriminator judges each image by itself, in layers that opacus can take apart.
FAMILIES = ("dpgan",)


def not_private(config: RunConfig) -> list[InvalidValue]:
    """Each value under which the real images would be seen past the noise, with its remedy."""
    return [
        InvalidValue(
            f"config.{name} is {value!r}, and config.privacy is on: {why}.",
            field=f"config.{name}",
            value=value,
            remedy=remedy,
        )
        for name, value, why, remedy in _reasons(config)
    ]


def check_alone(config: RunConfig, processes: int) -> None:
    """Raises InvalidValue for a run with differential privacy in several processes."""
    if config.privacy.active and processes > 1:
        raise InvalidValue(
            f"config.privacy is on, and {processes} processes would share each batch.",
            field="config.privacy.epsilon",
            value=config.privacy.epsilon,
            remedy="Train in one process (SYNTHORAX_TRAIN_PROCESSES=1), or set it to 0.",
        )


def _reasons(config: RunConfig) -> Iterator[tuple[str, Any, str, str]]:
    """Field, value, why not, remedy."""
    if config.family not in FAMILIES:
        yield (
            "family",
            config.family,
            "its discriminator looks at several images at once, or in layers that have no "
            "gradient of a single image",
            f"Use {', '.join(FAMILIES)}, or set config.privacy.epsilon to 0.",
        )
    for name in ("penalty", "penalty_final"):
        if getattr(config, name):
            yield (
                name,
                getattr(config, name),
                "the gradient of a penalty is not that of one image's loss",
                "Set it to 0.",
            )
    if config.loss == "relativistic":
        yield (
            "loss",
            config.loss,
            "the generator's loss would be told the logits of real images",
            "Use standard or hinge.",
        )
    if config.sampling != "natural":
        yield (
            "sampling",
            config.sampling,
            "the budget is counted for images that are drawn independently, all at one rate",
            "Use natural: the generator is asked for each class equally often anyway.",
        )
    if config.validate_every_kimg:
        yield (
            "validate_every_kimg",
            config.validate_every_kimg,
            "weights chosen by real validation images would tell of these, outside the budget",
            "Set it to 0: the last weights are published.",
        )
    if config.diffaugment.active:
        yield (
            "diffaugment",
            config.diffaugment.probability or config.diffaugment.target,
            "how sure the discriminator is of the real images would be told without noise"
            if config.diffaugment.target
            else "the noise keeps it from learning images by heart already",
            "Set its probability and its target to 0.",
        )
    if config.augmentation.active:
        yield (
            "augmentation",
            True,
            "the noise keeps it from learning images by heart already",
            "Leave it out.",
        )
    if config.precision == "bfloat16":
        yield (
            "precision",
            config.precision,
            "lengths of gradients are clipped in float32",
            "Use float32 or auto.",
        )
