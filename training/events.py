"""What a run tells: one JSON object a line on stdout, metrics also in the run folder."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from library.runs import EVENT_SCHEMA, RunFolder


class Events:
    """Emits events: status, metric, sample, checkpoint, log.  Never a file's or person's name.

    Where several processes train, the first alone is heard.
    """

    def __init__(self, run: RunFolder, job: str | None, heard: bool = True) -> None:
        self._run = run
        self._job = job
        self._heard = heard

    def emit(self, kind: str, **fields: Any) -> None:
        if not self._heard:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"schema": EVENT_SCHEMA, "type": kind, "time": time, "job": self._job, **fields}
        line = json.dumps(event)
        if kind == "metric":
            with open(self._run.metrics, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def log(self, message: str, level: str = "info", **fields: Any) -> None:
        self.emit("log", level=level, message=message, **fields)
