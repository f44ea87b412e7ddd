"""From what was asked for to a study's configuration, every value checked."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from library.config import resolve as resolve_run
from library.errors import InvalidValue
from library.presets import RECOMMENDED
from library.studies.config import NEEDED_ARMS, SEED_MAX, Generator, StudyConfig


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
    wrong = _together(found)
    if wrong:
        raise InvalidValue.of(wrong)
    return found


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


def _wrong(name: str, value: Any, text: str, remedy: str) -> InvalidValue:
    return InvalidValue(text, field=f"config.{name}", value=value, remedy=remedy)


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


def every_class(config: StudyConfig, labels: Iterable[str]) -> InvalidValue | None:
    """What is wrong where synthetic_classes names all that take part, of a dataset's labels.

    It would be taken for a study in which “synthetic” can stand for a class.
    """
    given = list(config.synthetic_classes)
    if not set(given) >= set(config.labels or labels):
        return None
    text = f"config.synthetic_classes is {given!r}: every class that takes part."
    return _wrong("synthetic_classes", given, text, "Leave it out: it says that some do without.")


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
