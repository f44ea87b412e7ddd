"""Writes docs/reference/ from the code: python -m tools.reference [--check]

The API from its OpenAPI document, settings, run configuration with its presets, choices of a
dataset, a study's configuration, events, a ZIP's manifest.  A test checks that what is committed is
what the code says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools.reference.api import api
from tools.reference.configuration import configuration
from tools.reference.events import events
from tools.reference.metrics import metrics
from tools.reference.report import report
from tools.reference.service_settings import settings

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "reference"

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
        print(f"{', '.join(stale)}: run python -m tools.reference", file=sys.stderr)  # noqa: T201
    return len(stale)


if __name__ == "__main__":
    raise SystemExit(main())
