"""The configuration of a training run: every field with its bounds, and where it comes from."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from library.errors import InvalidValue
from library.latents import SEED_MAX
from library.presets import PRESETS
from library.private import not_private


def _number(
    default: float, low: float, high: float, above: bool = False, help: str = ""
) -> Any:  # a dataclass field; `Any` so that it can stand for the declared type
    return field(default=default, metadata={"low": low, "high": high, "above": above, "help": help})


def _choice(default: Any, *allowed: Any, help: str = "") -> Any:
    return field(default=default, metadata={"allowed": allowed, "help": help})


def _text(help: str = "") -> Any:
    return field(default="", metadata={"text": 200, "help": help})


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
class DiffAugment:
    """Augmentation of what the discriminator sees, real and generated alike (Zhao et al. 2020).

    The generator does not learn to draw it.  What a radiograph cannot be is not offered: no flip
    (the heart's side), no quarter turn, no inversion.
    """

    probability: float = _number(0.0, 0, 1, help="of each of the six, an image; 0: off")
    target: float = _number(0.0, 0, 1, help="adapts probability to this overfitting; 0: fixed")
    shift: float = _number(0.125, 0, 0.5, help="largest, as a fraction of the side")
    scale: float = _number(0.1, 0, 0.5, help="0.1: sizes from 1/1.1 to 1.1")
    rotation: float = _number(10.0, 0, 10.0, help="degrees either way")
    brightness: float = _number(0.2, 0, 1, help="largest, of the range -1 to 1")
    contrast: float = _number(0.25, 0, 0.9, help="0.25: factors from 0.75 to 1.25")
    cutout: float = _number(0.25, 0, 0.75, help="side of a grey square, as a fraction")

    @property
    def active(self) -> bool:
        return self.probability > 0 or self.target > 0


@dataclass(frozen=True)
class Privacy:
    """Differential privacy of what is learnt from the real images (Abadi et al. 2016).

    The budget is a patient's where patients are known, else an image's (docs/training.md).
    """

    epsilon: float = _number(0.0, 0, 1000, help="budget of the whole run; 0: no privacy")
    delta: float = _number(0.0, 0, 0.01, help="0: a tenth of one over the images that take part")
    noise_multiplier: float = _number(0.0, 0, 1000, help="0: what spends epsilon by the last epoch")
    clip_norm: float = _number(1.0, 0, 1000, above=True, help="longest gradient of one image")
    images_per_patient: int = _number(1, 1, 1000, help="at most so many of one take part")
    generator_every: int = _number(1, 1, 1000, help="discriminator steps to one of the generator")

    @property
    def active(self) -> bool:
        return self.epsilon > 0


@dataclass(frozen=True)
class RunConfig:
    """A resolved configuration.  `resolve` makes one; nothing else should.

    A value with a `_final` goes to it along a half cosine over the planned number of images.
    """

    family: str = _choice(
        "dcgan", "dcgan", "lite", "flagship", "turbo", "dpgan", help="of networks"
    )
    resolution: int = _choice(64, 64, 128, 256, 512, help="pixels; each doubling adds a stage")
    latent_dim: int = _number(100, 1, 1024)
    generator_width: int = _number(64, 4, 512, help="channels before the last layer")
    discriminator_width: int = _number(64, 4, 512, help="channels after the first layer")
    conditional: bool = _choice(False, False, True, help="one model that draws each class")
    epochs: int = _number(500, 1, 100_000)
    batch_size: int = _number(50, 2, 8192)
    loss: str = _choice("standard", "standard", "relativistic", "hinge")
    learning_rate: float = _number(2e-4, 0, 1, above=True)
    learning_rate_final: float = _number(0.0, 0, 1, help="0: stays as it is")
    beta1: float = _number(0.5, 0, 0.9999)
    beta2: float = _number(0.999, 0, 0.99999)
    beta2_final: float = _number(0.0, 0, 0.99999, help="0: stays as it is")
    penalty: float = _number(0.0, 0, 1e6, help="gamma of R1 and R2; 0: neither")
    penalty_final: float = _number(0.0, 0, 1e6, help="0: stays as it is")
    penalty_every: int = _number(1, 1, 64, help="steps; computed lazily, weighted as often as it")
    ema_half_life_kimg: float = _number(0.0, 0, 1e6, help="0: no moving average")
    ema_ramp: float = _number(0.0, 0, 1, help="half-life at most this share of the images so far")
    sampling: str = _choice("natural", "natural", "balanced", help="how often a class is shown")
    label_ramp: float = _number(0.0, 0, 1, help="share of the run in which labels gain weight")
    fine_tune: str = _text(help="NAME@VERSION to begin with; empty: from nothing")
    validate_every_kimg: float = _number(0.0, 0, 1e6, help="how often KID is measured; 0: never")
    choose: str = _choice("best", "best", "last", help="published: best by KID, where measured")
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
    diffaugment: DiffAugment = field(default_factory=DiffAugment)
    privacy: Privacy = field(default_factory=Privacy)

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
    groups = {name: _group(name, values, preset, wrong) for name in GROUPS}
    chosen = _checked(RunConfig, values, "config", wrong)
    inner = {name: _checked(kind, groups[name], f"config.{name}", wrong)
             for name, kind in GROUPS.items()}  # fmt: skip
    if wrong:
        raise InvalidValue.of(wrong)
    config = RunConfig(**chosen, **{name: GROUPS[name](**inner[name]) for name in GROUPS})
    wrong = not_private(config) if config.privacy.active else []
    if wrong:
        raise InvalidValue.of(wrong)
    return config


GROUPS: dict[str, type[Any]] = {
    "augmentation": Augmentation,
    "diffaugment": DiffAugment,
    "privacy": Privacy,
}


def _group(
    name: str, values: dict[str, Any], preset: str, wrong: list[InvalidValue]
) -> Mapping[str, Any]:
    """The fields of a group, taken out of `values`: the preset's, then those given."""
    given = values.pop(name, None)
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        wrong.append(
            InvalidValue(
                f"config.{name} is {given!r}.",
                field=f"config.{name}",
                value=given,
                remedy=f'Give an object, for example {{"{fields(GROUPS[name])[0].name}": 0.5}}.',
            )
        )
        return {}
    return {**PRESETS[preset].get(name, {}), **given}


def _checked(
    kind: type[Any], values: Mapping[str, Any], at: str, wrong: list[InvalidValue]
) -> dict[str, Any]:
    """Every field's value; what is not allowed is added to `wrong`."""
    known = {f.name: f for f in fields(kind) if f.name not in GROUPS}
    for name, value in values.items():
        if name not in known:
            names = [*known, *GROUPS] if kind is RunConfig else list(known)
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
    if "text" in rule:
        if isinstance(value, str) and len(value) <= rule["text"]:
            return value
        raise InvalidValue(
            f"{name} is {value!r}.", field=name, value=value,
            remedy=f"Give a text of at most {rule['text']} characters.",
        )  # fmt: skip
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
