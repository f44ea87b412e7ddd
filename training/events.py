"""What a run tells: one JSON object a line on stdout, metrics also in the run folder."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from library.logs import log_failure
from library.runs import EVENT_SCHEMA, RunFolder

logger = logging.getLogger("synthorax.trainer")

_SAID = ("status", "phase", "step", "images", "epoch", "model")  # in a log line, beside its words


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
        _log(kind, fields)

    def log(self, message: str, level: str = "info", **fields: Any) -> None:
        self.emit("log", level=level, message=message, **fields)


def _log(kind: str, fields: dict[str, Any]) -> None:
    """What an operator follows a run by: not its numbers, which are a worker's metrics.

    A failure is logged by its title: its detail, for the job's owner, may name a folder.
    """
    about = {name: fields[name] for name in _SAID if fields.get(name) is not None}
    if kind == "log":
        level = logging.getLevelNamesMapping().get(fields["level"].upper(), logging.INFO)
        logger.log(level, "%s", fields["message"], extra=about)
    elif kind == "status" and fields["status"] == "failed":
        log_failure(logger.name, fields["error"]["title"])
    elif kind in ("status", "checkpoint"):
        words = [kind, *(str(fields[name]) for name in ("status", "phase") if fields.get(name))]
        logger.info(" ".join(words), extra=about)
