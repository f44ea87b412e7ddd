"""The JSON schemas of configurations of runs and studies, and of choices, from their fields."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from library.config import GROUPS, RunConfig
from library.datasets.choices import Choices
from library.studies.config import StudyConfig

_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def configuration() -> dict[str, Any]:
    """Of `config`: overrides of a preset."""
    own = [each for each in fields(RunConfig) if each.name not in GROUPS]
    schema = _object([*own])
    # null draws a seed, as leaving it out does.
    schema["properties"]["seed"] = {"anyOf": [schema["properties"]["seed"], {"type": "null"}]}
    for name, kind in GROUPS.items():
        schema["properties"][name] = {"anyOf": [_object([*fields(kind)]), {"type": "null"}]}
    return schema


def choices() -> dict[str, Any]:
    """Of `choices`."""
    return _object([*fields(Choices)])


def study() -> dict[str, Any]:
    """Of a study's `config`; what is left out has its default."""
    text = {"type": "string", "minLength": 1, "maxLength": 4096}
    generator = {
        "type": "object",
        "properties": {
            "preset": {**text, "description": "trained anew for each partition"},
            "config": configuration(),
            "model": {**text, "description": "NAME@VERSION of a published version"},
            "images": {**text, "description": "folder of pictures, below a dataset root"},
        },
        "additionalProperties": False,
        "description": "one of preset (with config), model, images",
    }
    properties = {each.name: _study_value(each) for each in fields(StudyConfig) if each.metadata}
    # null draws a seed, as leaving it out does.
    properties["seed"] = {"anyOf": [properties["seed"], {"type": "null"}]}
    return {
        "type": "object",
        "properties": {**properties, "generator": generator},
        "required": ["positive"],
        "additionalProperties": False,
    }


def _study_value(field: Field[Any]) -> dict[str, Any]:
    rule: Any = field.metadata
    if "allowed" in rule:
        schema: dict[str, Any] = {"enum": list(rule["allowed"])}
    elif "text" in rule:
        schema = {"type": "string", "maxLength": rule["text"]}
    elif "names" in rule:
        names = {"enum": list(rule["names"])} if rule["names"] else {"type": "string"}
        schema = {"type": "array", "items": names, "uniqueItems": True}
    elif "each" in rule:
        low, high = rule["each"]
        number = {"type": "number", "minimum": low, "maximum": high}
        schema = {"type": "array", "items": number, "maxItems": rule["most"]}
    else:
        whole = isinstance(field.default, int) and field.name != "epochs"
        kind = "integer" if whole else "number"
        schema = {"type": kind, "minimum": rule["low"], "maximum": rule["high"]}
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    if field.name not in ("seed", "positive"):
        schema["default"] = default
    return {**schema, "description": rule["help"]}


def _object(of: list[Field[Any]]) -> dict[str, Any]:
    properties = {each.name: _value(each) for each in of}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(field: Field[Any]) -> dict[str, Any]:
    rule, default = field.metadata, field.default
    if "allowed" in rule:
        schema: dict[str, Any] = {"enum": list(rule["allowed"])}
    elif "text" in rule:
        schema = {"type": "string", "minLength": 0 if default == "" else 1,
                  "maxLength": rule["text"]}  # fmt: skip
    elif "names" in rule:
        names: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
        if rule["names"]:
            names = {"enum": list(rule["names"])}
        schema = {"type": "array", "items": names, "maxItems": 50}
    else:
        least = "exclusiveMinimum" if rule.get("above") else "minimum"
        schema = {"type": _KINDS[type(default)], least: rule["low"], "maximum": rule["high"]}
    if default is None or "names" in rule:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "description": rule["help"]} if rule.get("help") else schema
