"""settings.md, from the dataclass and the comments beside its fields."""

from __future__ import annotations

import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from library import settings as settings_module
from library.settings import Settings
from tools.reference.markdown import HEAD, code, table


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
