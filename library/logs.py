"""Log lines of every process: text for people, or JSON with the ids of request and job."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

# Of what is done now: set by the API for a request, by a worker and its trainer for a job.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)

# What must not be in a log, whoever writes it: keys, sessions and tokens, passwords in addresses.
_SECRETS = (
    (re.compile(r"(synthorax_[0-9a-f]{8}_)[0-9a-f]{16,}"), r"\1…"),
    (re.compile(r"(://[^/@\s:]*:)[^/@\s]+@"), r"\1…@"),
    (re.compile(r"((?:token=|synthorax_session=|whsec_))[\w.+/=-]+"), r"\1…"),
)
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def without_secrets(text: str) -> str:
    """The same text, with what lets somebody in replaced by …"""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class _Ids(logging.Filter):
    """Keeps the ids that were current when a line was written."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request = request_id.get()
        record.job = getattr(record, "job", None) or job_id.get()
        return True


class TextForm(logging.Formatter):
    """Time, level, who, words; ids where there are any."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        ids = [f"{name}={value}" for name in ("request", "job")
               if (value := getattr(record, name, None))]  # fmt: skip
        line = super().format(record)
        return without_secrets(f"{line} [{' '.join(ids)}]" if ids else line)


class JsonForm(logging.Formatter):
    """One object a line: time, level, logger, message, request, job, and what `extra` brought."""

    def format(self, record: logging.LogRecord) -> str:
        about: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _OWN and value is not None:
                about[name] = value
        if record.exc_info:
            about["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return without_secrets(json.dumps(about, ensure_ascii=False, default=str))


def configure(form: str, stream: TextIO | None = None) -> None:
    """Write this process's lines to `stream` (stderr) as text or json; once, at its start.

    text: warnings and errors, for whoever looks at a terminal; json: what happens, too.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonForm() if form == "json" else TextForm())
    handler.addFilter(_Ids())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # It quotes the values that it does not like, and a patient's name is one.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("synthorax").setLevel(logging.INFO if form == "json" else logging.WARNING)
