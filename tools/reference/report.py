"""report.md, from the newest report that is committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.reference.markdown import HEAD, code, table

REPORTS = Path(__file__).resolve().parent.parent.parent / "docs" / "reports"


def report() -> str:
    found = max(REPORTS.glob("*/*/report.json"), key=_made)
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
