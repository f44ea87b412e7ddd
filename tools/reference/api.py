"""api.md, from the OpenAPI document."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from app.main import create_app
from app.openapi import MEDIA_TYPE as PROBLEM
from library.settings import Settings
from tools.reference.markdown import HEAD, Schema, code, kind, properties, table


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
