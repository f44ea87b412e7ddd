"""The pieces of the report's page."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def fact_table(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(key.replace('_', ' '))}</th>"
        f"<td>{escape(_plain(value))}</td></tr>"
        for key, value in facts.items()
    )
    return f"<div class=wide><table class=facts>{rows}</table></div>"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def details(summary: str, parts: Iterable[str]) -> str:
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th scope=row>{escape(str(row[0]))}</th>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    # What scrolls sideways on a phone can be reached with keys.
    return (
        f"<div class=wide role=group tabindex=0 aria-label='{escape(caption)}'>"
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(figures: Mapping[str, bytes], name: str, alt: str) -> str:
    if name not in figures:
        return ""
    # An identifier may stand in two figures: as images of their own they do not meet.
    svg = re.sub(rb"^.*?<svg", b"<svg", figures[name], count=1, flags=re.DOTALL)
    encoded = base64.b64encode(svg).decode()
    return (
        f"<figure><img class=plot alt='{escape(alt)}' src='data:image/svg+xml;base64,{encoded}'>"
        f"<figcaption>{escape(alt)}</figcaption></figure>"
    )


def number(value: Any) -> str:
    """Four digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"
