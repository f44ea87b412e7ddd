"""Tables of the reference, and JSON schemas in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

HEAD = "<!-- Written by tools/reference from the code; change that. -->\n"
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
