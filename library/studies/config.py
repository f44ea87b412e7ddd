"""The configuration of a study: fixed before the first run, so that no result can choose it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from library.config import resolve as resolve_run
from library.errors import InvalidValue
from library.presets import RECOMMENDED

KINDS = ("usefulness", "small_class")
METRICS = ("auroc", "auprc")
PROBE, NETWORK = "probe", "network"
CLASSIFIERS = (PROBE, NETWORK)
YOURS = "yours"  # a model of the user's own: its predictions are scored
SEED_MAX = 2**31 - 1

# What a classifier is trained on.  `ratio` (k) synthetic images, or duplicates, for each real one.
ARMS = {
    "real": "real images alone",
    "duplicates": "real images and k times as many duplicates of them",
    "synthetic": "synthetic images alone, as many of each class as there are real ones",
    "real_synthetic": "real images and k times as many synthetic ones, in every class",
    "augmented": "real images, each turned, cropped, scaled and flipped anew when it is shown",
    "weighted": "real images, the classes' losses weighted to be equal",
    "oversampled": "real images, each class shown as often as any other",
    "augmented_synthetic": "real and synthetic images, augmented as in `augmented`",
    "pretrained": "synthetic images for the first half of the budget, then real ones",
    "one_class": "real images, and synthetic ones in the positive class alone",
}
NEEDED_ARMS = ("real", "duplicates", "real_synthetic")
WITH_SYNTHETIC = frozenset(
    {"synthetic", "real_synthetic", "augmented_synthetic", "pretrained", "one_class"}
)
# Where some classes alone get synthetic images there is nothing to compare these with.
EVERY_CLASS_ONLY = frozenset({"synthetic", "pretrained", "one_class"})
# A linear probe sees features, which no augmentation reaches, and has one optimum, which no
# pretraining and no way of drawing batches moves.
NETWORK_ONLY = frozenset({"augmented", "augmented_synthetic", "pretrained", "oversampled"})


@dataclass(frozen=True)
class Generator:
    """Where synthetic images come from: one of a training (preset, config), a published version
    (model), or a folder of pictures in folders of the same classes (images)."""

    preset: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    images: str | None = None

    @property
    def trained(self) -> bool:
        """By the study itself, once for each partition."""
        return self.model is None and self.images is None


def _number(default: float, low: float, high: float, help: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help})


def _choice(default: str, allowed: tuple[str, ...], help: str) -> Any:
    return field(default=default, metadata={"allowed": allowed, "help": help})


def _names(default: tuple[str, ...], allowed: tuple[str, ...] | None, help: str) -> Any:
    return field(default=default, metadata={"names": allowed, "help": help})


def _numbers(default: tuple[float, ...], low: float, high: float, most: int, help: str) -> Any:
    return field(default=default, metadata={"each": (low, high), "most": most, "help": help})


@dataclass(frozen=True)
class StudyConfig:
    """A resolved configuration.  `resolve` makes one; nothing else should."""

    kind: str = _choice(
        "usefulness", KINDS, "whole data set, or a class of few by cross-validation"
    )
    positive: str = field(default="", metadata={"text": 200, "help": "class that is to be told"})
    labels: tuple[str, ...] = _names((), None, "classes that take part; empty: all")
    generator: Generator = field(default_factory=Generator)
    generators: int = _number(3, 1, 20, "trained anew with other seeds, a partition")
    classifiers: tuple[str, ...] = _names(CLASSIFIERS, CLASSIFIERS, "what is trained on the arms")
    seeds: int = _number(3, 1, 50, "classifiers of each kind, an arm and a generator")
    synthetic_classes: tuple[str, ...] = _names(
        (), None, "classes that get synthetic images; empty: all, so that none stands for a class"
    )
    arms: tuple[str, ...] = _names(tuple(ARMS), tuple(ARMS), "empty: all")
    ratio: float = _number(1.0, 0.1, 10.0, "k of the primary contrast")
    other_ratios: tuple[float, ...] = _numbers(
        (), 0.1, 10.0, 5, "further k, beside the primary one"
    )
    sizes: tuple[float, ...] = _numbers((1.0,), 0.01, 1.0, 6, "shares of the training patients")
    folds: int = _number(5, 2, 10, "of a small_class study, by patients")
    repeats: int = _number(2, 1, 20, "of a small_class study: times that it is folded")
    small_count: int = _number(0, 0, 10_000, "images of `positive` that take part; 0: all")
    metric: str = _choice("auroc", METRICS, "of the primary contrast")
    primary_classifier: str = _choice(NETWORK, CLASSIFIERS, "of the primary contrast")
    smallest_useful_effect: float = _number(0.01, 0.0001, 0.5, "of the metric, fixed beforehand")
    specificity: float = _number(0.9, 0.5, 0.999, "at which sensitivity is told")
    epochs: float = _number(8, 0.1, 1000, "of the real images: the budget of every arm")
    steps_min: int = _number(500, 1, 100_000, "of 64 images: the least budget, where they are few")
    test: str = _choice("held_out", ("held_out", "validation"), "split that is tested on")
    resolution: int = _number(64, 32, 512, "pixels at which all images are compared")
    fit: str = _choice("crop", ("crop", "pad", "stretch"), "how a picture becomes square")
    seed: int = _number(0, 0, SEED_MAX, "of everything that is drawn")
    name: str = field(default="", metadata={"text": 200, "help": "for people"})

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        found["generator"]["config"] = dict(self.generator.config)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in found.items()
        }

    @property
    def ratios(self) -> tuple[float, ...]:
        """The primary one first."""
        return (self.ratio, *(k for k in self.other_ratios if k != self.ratio))


def resolve(given: Mapping[str, Any]) -> StudyConfig:
    """A configuration with every value checked; a seed that is not given is drawn here.

    Raises InvalidValue naming each wrong field, what was given and what is allowed.
    """
    if not isinstance(given, Mapping):
        raise InvalidValue(
            f"config is {given!r}.", field="config", value=given,
            remedy='Give an object, for example {"positive": "PNEUMONIA"}.',
        )  # fmt: skip
    wrong: list[InvalidValue] = []
    values: dict[str, Any] = {"seed": secrets.randbelow(SEED_MAX + 1)}
    known = {each.name: each for each in fields(StudyConfig)}
    for name, value in given.items():
        if name not in known:
            remedy = f"Its fields are: {', '.join(known)}."
            wrong.append(_wrong(name, value, f"config has no field {name!r}.", remedy))
        elif value is None and name != "seed":
            wrong.append(_wrong(name, value, f"config.{name} is null.", "Leave it out instead."))
        elif value is not None:
            try:
                values[name] = (
                    _generator(value) if name == "generator" else _value(name, value, known[name])
                )
            except InvalidValue as error:
                wrong.append(error)
    if wrong:
        raise InvalidValue.of(wrong)
    values.setdefault("generator", _generator({}))
    found = StudyConfig(**values)
    wrong = list(_together(found))
    if wrong:
        raise InvalidValue.of(wrong)
    return found


def _wrong(name: str, value: Any, text: str, remedy: str) -> InvalidValue:
    return InvalidValue(text, field=f"config.{name}", value=value, remedy=remedy)


def _value(name: str, value: Any, known: Any) -> Any:
    rule, said = known.metadata, f"config.{name} is {value!r}."
    if "allowed" in rule:
        if value in rule["allowed"]:
            return value
        raise _wrong(name, value, said, f"Use one of: {', '.join(rule['allowed'])}.")
    if "text" in rule:
        if isinstance(value, str) and len(value) <= rule["text"]:
            return value
        raise _wrong(name, value, said, f"Give a text of at most {rule['text']} characters.")
    if "names" in rule:
        allowed = rule["names"]
        listed = isinstance(value, list | tuple) and all(isinstance(n, str) for n in value)
        if not listed or len(set(value)) != len(value):
            raise _wrong(name, value, said, "Give a list of names, each once.")
        if allowed is None:
            return tuple(value)
        if not set(value) <= set(allowed):
            raise _wrong(name, value, said, f"Use some of: {', '.join(allowed)}.")
        return tuple(n for n in allowed if n in value) or allowed
    if "each" in rule:
        low, high = rule["each"]
        if not isinstance(value, list | tuple) or len(value) > rule["most"]:
            raise _wrong(name, value, said, f"Give a list of at most {rule['most']} numbers.")
        if not all(_is_number(each) and low <= each <= high for each in value):
            raise _wrong(name, value, said, f"Use numbers from {low:g} to {high:g}.")
        return tuple(float(each) for each in value)
    low, high = rule["low"], rule["high"]
    whole = isinstance(known.default, int) and name != "epochs"
    right = isinstance(value, int) and not isinstance(value, bool) if whole else _is_number(value)
    if not right or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise _wrong(name, value, said, f"Use {kind} from {low:g} to {high:g}.")
    return value if whole else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _generator(given: Any) -> Generator:
    remedy = (
        'Give {"preset": "turbo"} (with "config", if wanted), {"model": "NAME@VERSION"} or '
        '{"images": "FOLDER"}.'
    )
    names = {"preset", "config", "model", "images"}
    if not isinstance(given, Mapping) or not set(given) <= names:
        raise _wrong("generator", given, f"config.generator is {given!r}.", remedy)
    chosen = {name: given[name] for name in ("preset", "model", "images") if given.get(name)}
    config = given.get("config") or {}
    if len(chosen) > 1 or not all(isinstance(value, str) for value in chosen.values()):
        raise _wrong("generator", given, f"config.generator is {given!r}.", remedy)
    if "model" in chosen or "images" in chosen:
        if config:
            text = "config.generator.config is of a training, and none is asked for."
            raise _wrong("generator.config", config, text, "Leave it out.")
        return Generator(**chosen)
    preset = chosen.get("preset", RECOMMENDED)
    try:
        resolve_run(preset, {"seed": 0, **config})  # the study gives each training its seed
    except InvalidValue as error:
        raise InvalidValue.of([_below(part) for part in error.parts or (error,)]) from None
    return Generator(preset=preset, config=dict(config))


def _below(error: InvalidValue) -> InvalidValue:
    """An error of the training's configuration, as one of the study's."""
    field = f"config.generator.{error.field}"
    return InvalidValue(error.detail, field=field, value=error.value, remedy=error.remedy)


def _trained(config: StudyConfig) -> list[InvalidValue]:
    """What keeps a generator from being trained: it draws classes, at the study's resolution."""
    given, preset = config.generator.config, config.generator.preset
    wanted = {"conditional": True, "resolution": config.resolution, "fit": config.fit}
    wrong = []
    for name, value in wanted.items():
        if given.get(name, value) != value:
            text = (
                f"config.generator.config.{name} is {given[name]!r}, and the study needs {value!r}."
            )
            remedy = "A study gives it to its trainings: leave it out."
            wrong.append(_wrong(f"generator.config.{name}", given[name], text, remedy))
    if wrong or preset is None:
        return wrong
    try:
        resolve_run(preset, {**given, **wanted, "seed": 0})
    except InvalidValue as error:
        ours = {f"config.{name}" for name in wanted}
        return [each if each.field in ours else _below(each) for each in error.parts or (error,)]
    return []


def _together(config: StudyConfig) -> list[InvalidValue]:
    wrong = _trained(config) if config.generator.trained else []
    if not config.positive:
        remedy = "Name the class that is to be told from the rest."
        wrong.append(_wrong("positive", config.positive, "config.positive is missing.", remedy))
    if config.labels and config.positive not in config.labels:
        remedy = "Name it among the labels, or leave labels out."
        text = f"config.labels lacks the positive class {config.positive!r}."
        wrong.append(_wrong("labels", list(config.labels), text, remedy))
    if config.labels and not set(config.synthetic_classes) <= set(config.labels):
        text = f"config.synthetic_classes is {list(config.synthetic_classes)!r}."
        remedy = f"Name some of the labels: {', '.join(config.labels)}."
        wrong.append(_wrong("synthetic_classes", list(config.synthetic_classes), text, remedy))
    if len(config.labels) == 1:
        text = f"config.labels has one class ({config.labels[0]!r})."
        wrong.append(_wrong("labels", list(config.labels), text, "Name two or more."))
    if missing := [arm for arm in NEEDED_ARMS if arm not in config.arms]:
        text = f"config.arms lacks {', '.join(missing)}."
        remedy = f"Every study has {', '.join(NEEDED_ARMS)}."
        wrong.append(_wrong("arms", list(config.arms), text, remedy))
    if config.primary_classifier not in config.classifiers:
        text = f"config.classifiers lacks the primary one, {config.primary_classifier!r}."
        remedy = "Add it, or name another as primary_classifier."
        wrong.append(_wrong("classifiers", list(config.classifiers), text, remedy))
    if not config.sizes or len(set(config.sizes)) != len(config.sizes):
        text = f"config.sizes is {list(config.sizes)!r}."
        wrong.append(_wrong("sizes", list(config.sizes), text, "Give one or more, each once."))
    if config.kind == "small_class" and config.sizes != (1.0,):
        text = "config.sizes is of a usefulness study."
        remedy = "Leave it out: a small_class study folds all patients."
        wrong.append(_wrong("sizes", list(config.sizes), text, remedy))
    if config.kind != "small_class" and config.small_count:
        text = "config.small_count is of a small_class study."
        wrong.append(_wrong("small_count", config.small_count, text, "Leave it out."))
    if config.kind == "small_class" and config.generator.model is not None:
        text = "A published version has seen the patients of every fold, or cannot show it has not."
        remedy = "Give a preset: the generator is trained anew in every fold."
        wrong.append(_wrong("generator.model", config.generator.model, text, remedy))
    if config.generator.model is not None and config.sizes != (1.0,):
        text = "config.sizes has smaller sizes, and a published version has seen all of them."
        remedy = "Give a preset, or the size 1 alone."
        wrong.append(_wrong("sizes", list(config.sizes), text, remedy))
    return wrong
