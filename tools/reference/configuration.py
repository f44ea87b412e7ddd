"""configuration.md: of a run with its presets, of a dataset, of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from app.field_schemas import study
from library.config import GROUPS, RunConfig
from library.datasets.choices import described
from library.presets import PRESETS, RECOMMENDED
from library.studies.config import ARMS, Generator, StudyConfig
from tools.reference.markdown import HEAD, code, table


def configuration() -> str:
    heads = ["field", "default", "allowed", "", "other in presets"]
    choices = [
        [code(c["name"]), code(c["default"]), _allowed(c["allowed"]), c["help"]]
        for c in described()
    ]
    presets = ", ".join(f"`{name}`" for name in PRESETS)
    return "\n".join(
        [
            HEAD,
            "# Configuration of a run\n",
            f"What `POST /train-jobs` takes as `config`, over a preset ({presets}), and "
            "`python -m training run` as a file.\n",
            table(heads, list(_fields(RunConfig))),
            "# Choices of a dataset\n",
            "What `POST /datasets` takes as `choices`.\n",
            table(["choice", "default", "allowed", ""], choices),
            "# Configuration of a study\n",
            "What `POST /studies` takes as `config`, and `synthorax study run` as a TOML or JSON "
            "file with `dataset` beside it. Of `generator` one of `preset`, `model`, `images`.\n",
            table(["field", "default", "allowed", ""], list(_of_study())),
            "## Arms of a study\n",
            table(["arm", "is trained on"], [[code(name), text] for name, text in ARMS.items()]),
        ]
    )


def _bounds(metadata: Mapping[str, Any]) -> str:
    if "allowed" in metadata:
        return ", ".join(map(code, metadata["allowed"]))
    if "low" in metadata:
        sign = ">" if metadata.get("above") else "≥"
        return f"{sign} {metadata['low']:.16g}, ≤ {metadata['high']:.16g}"
    return "text"


def _fields(kind: type[Any], prefix: str = "") -> Iterator[list[str]]:
    for each in fields(kind):
        if each.name in GROUPS:
            yield from _fields(GROUPS[each.name], f"{each.name}.")
            continue
        differs = [
            f"{preset} {json.dumps(_value(config, prefix + each.name))}"
            for preset, config in PRESETS.items()
            if _value(config, prefix + each.name, each.default) != each.default
        ]
        yield [
            code(prefix + each.name),
            code(each.default),
            _bounds(each.metadata),
            each.metadata.get("help", ""),
            "; ".join(differs),
        ]


def _value(config: Mapping[str, Any], name: str, default: Any = None) -> Any:
    for part in name.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return default
        config = config[part]
    return config


def _of_study() -> Iterator[list[str]]:
    of_generator = study()["properties"]["generator"]["properties"]
    defaults = {"positive": "needed", "seed": "drawn", "name": "", "preset": code(RECOMMENDED)}
    for each in fields(StudyConfig):
        if each.name == "generator":
            for part in fields(Generator):
                allowed = "[of a run](#configuration-of-a-run)" if part.name == "config" else "text"
                words = of_generator[part.name].get("description", "over the preset")
                yield [code(f"generator.{part.name}"), defaults.get(part.name, ""), allowed, words]
            continue
        rule = each.metadata
        default = "all" if each.default == rule.get("names") else code(each.default)
        yield [code(each.name), defaults.get(each.name, default), _of_list(rule), rule["help"]]


def _of_list(metadata: Mapping[str, Any]) -> str:
    if "names" in metadata:
        return f"list of {', '.join(map(code, metadata['names'] or ())) or 'classes'}"
    if "each" in metadata:
        low, high = metadata["each"]
        return f"list of up to {metadata['most']} numbers, ≥ {low:g}, ≤ {high:g}"
    return _bounds(metadata)


def _allowed(allowed: Any) -> str:
    if isinstance(allowed, Mapping):
        return f"≥ {allowed['least']:g}, ≤ {allowed['most']:g}"
    return ", ".join(map(code, allowed)) if isinstance(allowed, list | tuple) else str(allowed)
