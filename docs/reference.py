"""Writes docs/reference/ from the code: python docs/reference.py [--check]

The API from its OpenAPI document, settings, run configuration with its presets, choices of a
dataset, a study's configuration, events, a ZIP's manifest.  A test checks that what is committed is
what the code says.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from app.field_schemas import study
from app.formats.archive import COLUMNS
from app.main import create_app
from app.openapi import MEDIA_TYPE as PROBLEM
from library import settings as settings_module
from library.config import GROUPS, RunConfig
from library.datasets.choices import described
from library.presets import PRESETS, RECOMMENDED
from library.settings import Settings
from library.studies.config import ARMS, Generator, StudyConfig
from worker.counts import FAMILIES
from worker.events import EVENT

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/reference.py from the code; change that. -->\n"
Schema = Mapping[str, Any]


def table(heads: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return (
            "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        )

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, rows)]) + "\n"


def code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def kind(schema: Schema) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return " or ".join(map(code, schema["enum"]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(kind, schema[several])))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    words = [str(schema.get("type", "any"))]
    for name, sign in (
        ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"),
    ):  # fmt: skip
        if name in schema:
            words.append(f"{sign} {_number(schema[name])}")
    if "maxLength" in schema:
        words.append(f"up to {schema['maxLength']} characters")
    return ", ".join(words)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def properties(schema: Schema) -> str:
    needed = schema.get("required", ())
    rows = []
    for name, each in schema.get("properties", {}).items():
        default = "needed" if name in needed else code(each["default"]) if "default" in each else ""
        rows.append([code(name), kind(each), default, each.get("description", "")])
    return table(["field", "is", "if left out", ""], rows) if rows else "No fields.\n"


def api() -> str:
    with tempfile.TemporaryDirectory() as folder:
        document = create_app(Settings(data_dir=Path(folder))).openapi()
    schemas = document["components"]["schemas"]
    text = [
        HEAD,
        "# The HTTP API\n",
        "`/docs` shows the same, to try; errors are RFC 9457 problems that name the field, what "
        "was given and what is allowed.\n",
    ]
    used: list[str] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            text.append(f"## {method.upper()} {path}\n")
            text.append(operation.get("description") or f"{operation['summary']}.")
            text.append("")
            given = operation.get("parameters", [])
            if given:
                rows = [
                    [code(p["name"]), p["in"], kind(p["schema"]), p.get("description", "")]
                    for p in given
                ]
                text.append(table(["parameter", "in", "is", ""], rows))
            for media, body in operation.get("requestBody", {}).get("content", {}).items():
                text.append(f"Body, `{media}`: {kind(body.get('schema', {}))}\n")
                used += re.findall(r"schemas/(\w+)", json.dumps(body))
            refusals = []
            for status, answer in operation["responses"].items():
                if list(answer.get("content", ())) == [PROBLEM]:
                    refusals.append(status)
                    continue
                forms = ", ".join(f"`{media}`" for media in answer.get("content", {}))
                text.append(f"- {status}{f': {forms}' if forms else ''}")
                used += re.findall(r"schemas/(\w+)", json.dumps(answer))
            if refusals:
                text.append(f"- a [problem](#problem): {', '.join(refusals)}")
                used.append("Problem")
            text.append("")
    text.append("# Bodies\n")
    for name in _reached(used, schemas):
        text += [
            f"## {name}\n",
            schemas[name].get("description", ""),
            "",
            properties(schemas[name]),
        ]
    return "\n".join(text)


def _reached(names: list[str], schemas: Mapping[str, Schema]) -> list[str]:
    found: dict[str, None] = {}
    while names:
        name = names.pop(0)
        if name not in found:
            found[name] = None
            names += re.findall(r"schemas/(\w+)", json.dumps(schemas[name]))
    return sorted(found)


def settings() -> str:
    """From the dataclass, the words from the comment beside each field."""
    source = Path(settings_module.__file__).read_text(encoding="utf-8")
    rows = []
    for each in fields(Settings):
        name = each.name.upper()
        found = re.search(rf"^    {each.name}: [^#\n]*?(?:#\s*(.*))?$", source, re.MULTILINE)
        if found is None or f'"{name}"' not in source:
            raise LookupError(f"library/settings.py does not read SYNTHORAX_{name} as expected")
        rows.append([code(f"SYNTHORAX_{name}"), _default(each), found[1] or ""])
    return "\n".join(
        [
            HEAD,
            "# Settings\n",
            "Of the service and its workers, from the environment.\n",
            table(["variable", "default", ""], rows),
            "`SYNTHORAX_URL` and `SYNTHORAX_API_KEY` are the client's.\n",
        ]
    )


def _default(setting: Field[Any]) -> str:
    if setting.name == "data_dir":
        return code("./data")
    if isinstance(setting.default, bool):
        return code(str(int(setting.default)))
    shown = isinstance(setting.default, str | int | float) and setting.default != ""
    return code(setting.default) if shown else ""


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


def events() -> str:
    schema = EVENT.json_schema()
    text = [
        HEAD,
        "# Events of a job\n",
        "`GET /train-jobs/{job}/events`: server-sent events, whose id is the place in the stream "
        "(`Last-Event-ID` goes on after it), or a page of JSON. Schema 1: a field that is added "
        "does not change it.\n",
    ]
    for name, each in schema["$defs"].items():
        text += [f"## {name}\n", each.get("description", ""), "", properties(each)]
    columns = ", ".join(map(code, COLUMNS))
    text += [
        "# The manifest of a ZIP\n",
        "`manifest.csv` has a row for each image, `manifest.jsonl` an object; their columns:\n",
        f"{columns}.\n",
    ]
    return "\n".join(text)


def report() -> str:
    """From the newest report that is committed."""
    found = max((Path(__file__).parent / "reports").glob("*/*/report.json"), key=_made)
    content = json.loads(found.read_text(encoding="utf-8"))
    labels = set(content["fidelity"])
    rows: dict[str, list[str]] = {}
    _walk(content, "", labels, rows)
    return "\n".join(
        [
            HEAD,
            "# report.json\n",
            f"Schema {content['schema']}: a field that is added does not change it, one that goes "
            "or changes does. Every field of the report on "
            f"{content['model']['reference']}, with its value there; "
            "`{label}` stands for each class, `[]` for each entry of a list.\n",
            table(["field", "is", "there"], list(rows.values())),
        ]
    )


def _made(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8"))["created_at"])


def _walk(value: Any, place: str, labels: set[str], rows: dict[str, list[str]]) -> None:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            part = "{label}" if name in labels else name
            _walk(each, f"{place}.{part}" if place else part, labels, rows)
    elif isinstance(value, list) and value:
        _walk(value[0], f"{place}[]", labels, rows)
    elif place not in rows:
        kinds = {bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
        shown = json.dumps(value, ensure_ascii=False)
        short = shown if len(shown) <= 60 else f"{shown[:57]}…"
        rows[place] = [code(place), kinds.get(type(value), "null or object"), code(short)]


def metrics() -> str:
    """What the API and the workers export."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), redis_url=f"unix://{folder}/none.sock")
        registry = create_app(settings).state.synthorax.metrics.registry
        # The families' own names: a counter's samples end with _total.
        of_api = [
            [
                f"{each.name}_total" if each.type == "counter" else each.name,
                each.type,
                vars(each).get("_labelnames", ()),
                each.documentation,
            ]
            for each in registry.collect()
        ]
    of_worker = [[name, each.kind, each.labels, each.text] for name, each in FAMILIES.items()]
    return "\n".join(
        [
            HEAD,
            "# Metrics\n",
            "What [observability.md](../observability.md#metrics) is about. A histogram has "
            "`_bucket`, `_sum` and `_count`; both also export `process_…` of prometheus_client.\n",
            "## API: GET /metrics\n",
            _metrics_table(row for row in of_api if row[0].startswith("synthorax_")),
            "## Worker: SYNTHORAX_WORKER_METRICS_PORT\n",
            _metrics_table(of_worker),
        ]
    )


def _metrics_table(rows: Iterable[list[Any]]) -> str:
    heads = ["metric", "kind", "labels", "what"]
    cells = [
        [code(name), kind, ", ".join(map(code, labels)), text] for name, kind, labels, text in rows
    ]
    return table(heads, sorted(cells))


PAGES: dict[str, Callable[[], str]] = {
    "api.md": api,
    "settings.md": settings,
    "configuration.md": configuration,
    "events.md": events,
    "report.md": report,
    "metrics.md": metrics,
}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for name, write in PAGES.items():
        text, path = write().rstrip() + "\n", FOLDER / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"{', '.join(stale)}: run python docs/reference.py", file=sys.stderr)  # noqa: T201
    return len(stale)


if __name__ == "__main__":
    raise SystemExit(main())
