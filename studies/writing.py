"""A study's results: written beside their place, renamed into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.tabular import plainly
from library.atomic import claim, new_folder
from studies.figures import figures
from studies.methods import methods
from studies.page import html
from studies.tables import tables

Content = Mapping[str, Any]


def write_results(content: Content, timings: Mapping[str, Any], final: Path, owner: str) -> None:
    """Write everything and rename it into place; what is there already stays.

    content: what results.json holds; everything but timings.json is made from it alone, so that the
    same content has the same bytes.  owner: a name that one process at a time uses.
    """
    if (final / "results.json").is_file():
        return
    shown = plainly(content)
    with new_folder(final.parent, owner) as folder:
        made = figures(shown)
        _write(folder / "timings.json", _json(timings))
        _write(folder / "results.html", html(shown, made))
        _write(folder / "methods.md", methods(shown))
        for name, text in tables(shown).items():
            _write(folder / "tables" / name, text)
        for name, picture in made.items():
            _write(folder / "figures" / name, picture)
        # Last, so that what has it is whole.
        _write(folder / "results.json", _json(content))
        claim(folder, final)


def _json(content: Mapping[str, Any]) -> str:
    """Raises ValueError for a number that JSON does not have."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, content: str | bytes) -> None:
    """A name may hold bytes that are not UTF-8; JSON has an escape for what Python makes of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    path.write_bytes(content)
