"""Fine-tuning: what a configuration takes over from the version that it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from library.errors import InvalidValue, SynthoraxError
from library.versions import ModelLibrary, Version

DISCRIMINATOR = "discriminator.safetensors"  # in a version's folder, where its data are public
# What decides shapes of tensors, and so must be the ancestor's.
_SHAPES = ("family", "latent_dim", "generator_width", "discriminator_width")
# And what its networks have learnt under.
_RECIPE = (
    "resolution", "conditional", "fit", "loss", "learning_rate", "learning_rate_final", "beta1",
    "beta2", "beta2_final", "penalty", "penalty_final", "penalty_every", "ema_half_life_kimg",
    "ema_ramp", "sampling", "label_ramp", "diffaugment", "batch_size",
)  # fmt: skip
# Of these, what the game has come to: begun again, it would undo what was learnt since.  The rate
# begins again, as in any training.
_REACHED = {"beta2": "beta2_final", "penalty": "penalty_final"}


def find_ancestor(library: ModelLibrary, reference: Any) -> Version:
    """The version that `config.fine_tune` names.  Raises InvalidValue naming the field."""
    try:
        return library.find(reference if isinstance(reference, str) else "")
    except SynthoraxError as error:
        raise InvalidValue(
            f"config.fine_tune is {reference!r}: {error.detail}",
            field="config.fine_tune",
            value=reference,
            remedy="Give NAME or NAME@VERSION of a usable version: GET /models lists them.",
        ) from None


def taken_over(
    preset: Mapping[str, Any], given: Mapping[str, Any], library: ModelLibrary
) -> dict[str, Any]:
    """What is given over the ancestor's shape and recipe, over the preset.

    Raises InvalidValue for an ancestor that does not exist, and for each value that would not fit.
    """
    if not given.get("fine_tune", preset.get("fine_tune")):
        return {**preset, **given}
    if all(name in given for name in (*_SHAPES, *_RECIPE)):
        return dict(given)  # resolved before: the ancestor may be gone by now
    ancestor = find_ancestor(library, given.get("fine_tune"))
    trained = dict(ancestor.card["training"]["config"])
    taken = {name: trained[name] for name in (*_SHAPES, *_RECIPE) if name in trained}
    for name, final in _REACHED.items():
        if taken.get(final):
            taken |= {name: taken[final], final: 0.0}
    taken["label_ramp"] = 0.0  # its classes are told apart from the first image on
    reached = ancestor.card["training"].get("augmentation_probability")
    if reached is not None:  # its discriminator has long been shown images augmented so often
        taken["diffaugment"] = {**taken["diffaugment"], "probability": reached}
    wrong = [
        InvalidValue(
            f"config.{name} is {given[name]!r}, and {ancestor.reference} has {taken[name]!r}.",
            field=f"config.{name}",
            value=given[name],
            remedy="Leave it out: a version is fine-tuned in its own shape.",
        )
        for name in _SHAPES
        if name in taken and name in given and given[name] != taken[name]
    ]
    if wrong:
        raise InvalidValue.of(wrong)
    return {**preset, **taken, **given, "fine_tune": ancestor.reference}
