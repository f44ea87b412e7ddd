"""The configuration of a training run: every field with its bounds, and where it comes from."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from library.errors import InvalidValue
from library.latents import SEED_MAX
from library.presets import PRESETS


def _number(
    default: float, low: float, high: float, above: bool = False, help: str = ""
) -> Any:  # a dataclass field; `Any` so that it can stand for the declared type
    return field(default=default, metadata={"low": low, "high": high, "above": above, "help": help})


def _choice(default: Any, *allowed: Any, help: str = "") -> Any:
    return field(default=default, metadata={"allowed": allowed, "help": help})


@dataclass(frozen=True)
class Augmentation:
    """The paper's traditional augmentation (its figure 2), applied to real images in training.

    All off by default: what is switched on here, the generator learns to draw.
    """

    rotation: float = _number(0.0, 0.0, 180.0, help="degrees either way, uniform; the paper: 30")
    crop: float = _number(0.0, 0.0, 0.5, help="largest fraction cut away, at a random place")
    scale: float = _number(0.0, 0.0, 0.5, help="0.1: sizes from 0.9 to 1.1, uniform")
    flip: bool = _choice(
        False, False, True, help="left-right; off, since the heart's side is a clinical fact"
    )

    @property
    def active(self) -> bool:
        return bool(self.rotation or self.crop or self.scale or self.flip)


@dataclass(frozen=True)
class RunConfig:
    """A resolved configuration.  `resolve` makes one; nothing else should."""

    family: str = _choice("dcgan", "dcgan")
    resolution: int = _choice(64, 64, 128, 256, 512, help="pixels; each doubling adds a stage")
    latent_dim: int = _number(100, 1, 1024)
    generator_width: int = _number(64, 4, 512, help="channels before the last layer")
    discriminator_width: int = _number(64, 4, 512, help="channels after the first layer")
    conditional: bool = _choice(False, False, True, help="one model that draws each class")
    epochs: int = _number(500, 1, 100_000)
    batch_size: int = _number(50, 2, 8192)
    learning_rate: float = _number(2e-4, 0, 1, above=True)
    beta1: float = _number(0.5, 0, 0.9999)
    beta2: float = _number(0.999, 0, 0.99999)
    ema_half_life_kimg: float = _number(0.0, 0, 1e6, help="0: no moving average")
    seed: int = _number(0, 0, SEED_MAX)
    fit: str = _choice("crop", "crop", "pad", "stretch", help="how a picture becomes square")
    precision: str = _choice("auto", "auto", "float32", "bfloat16", help="auto: what is faster")
    threads: int = _number(0, 0, 1024, help="CPU threads; 0: all")
    checkpoint_seconds: float = _number(60.0, 0, 86_400, help="least time between checkpoints")
    checkpoint_every_epochs: int = _number(0, 0, 100_000, help="kept for good; 0: none is")
    on_collapse: str = _choice("stop", "stop", "continue", help="when the game has ended")
    deterministic: bool = _choice(
        False, False, True, help="the same bits on each run of a CUDA card, at a cost; a CPU's are"
    )
    augmentation: Augmentation = field(default_factory=Augmentation)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def resolve(preset: str = "paper", overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """A preset with overrides, every value checked; a seed that is not given is drawn here.

    Raises InvalidValue naming each wrong field, what was given and what is allowed.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise InvalidValue(
            f"There is no preset {preset!r}.",
            field="preset",
            value=preset,
            remedy=f"Use one of: {', '.join(PRESETS)}.",
        )
    if not isinstance(overrides, Mapping | None):
        raise InvalidValue(
            f"config is {overrides!r}.",
            field="config",
            value=overrides,
            remedy='Give an object, for example {"epochs": 100}.',
        )
    values = {**PRESETS[preset], **(overrides or {})}
    if values.get("seed") is None:
        values["seed"] = secrets.randbelow(SEED_MAX + 1)
    wrong: list[InvalidValue] = []
    augmentation = values.pop("augmentation", None)
    if augmentation is None:
        augmentation = {}
    if not isinstance(augmentation, Mapping):
        wrong.append(
            InvalidValue(
                f"config.augmentation is {augmentation!r}.",
                field="config.augmentation",
                value=augmentation,
                remedy='Give an object, for example {"rotation": 30}.',
            )
        )
        augmentation = {}
    chosen = _checked(RunConfig, values, "config", wrong)
    augmented = _checked(Augmentation, augmentation, "config.augmentation", wrong)
    if wrong:
        raise InvalidValue.of(wrong)
    return RunConfig(**chosen, augmentation=Augmentation(**augmented))


def _checked(
    kind: type[Any], values: Mapping[str, Any], at: str, wrong: list[InvalidValue]
) -> dict[str, Any]:
    """Every field's value; what is not allowed is added to `wrong`."""
    known = {f.name: f for f in fields(kind) if f.name != "augmentation"}
    for name, value in values.items():
        if name not in known:
            names = [*known, "augmentation"] if kind is RunConfig else list(known)
            wrong.append(
                InvalidValue(
                    f"{at} has no field {name!r}.",
                    field=f"{at}.{name}",
                    value=value,
                    remedy=f"Its fields are: {', '.join(names)}.",
                )
            )
    found = {}
    for name, f in known.items():
        try:
            found[name] = _value(
                f"{at}.{name}", values.get(name, f.default), f.default, dict(f.metadata)
            )
        except InvalidValue as error:
            wrong.append(error)
    return found


def _value(name: str, value: Any, default: Any, rule: dict[str, Any]) -> Any:
    if "allowed" in rule:
        if type(value) is type(default) and value in rule["allowed"]:
            return value
        allowed = ", ".join(str(choice).lower() for choice in rule["allowed"])
        raise InvalidValue(
            f"{name} is {value!r}.", field=name, value=value, remedy=f"Use one of: {allowed}."
        )
    whole = isinstance(default, int)
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    low, high, above = rule["low"], rule["high"], rule["above"]
    if not right_type or not (low < value if above else low <= value) or not value <= high:
        kind, bound = "a whole number" if whole else "a number", "above" if above else "from"
        raise InvalidValue(
            f"{name} is {value!r}.",
            field=name,
            value=value,
            remedy=f"Use {kind} {bound} {low:g} to {high:.16g}.",
        )
    return value if whole else float(value)
