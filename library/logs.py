"""Log lines of every process: text for people, or JSON with the ids of request and job."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from library.trace_context import VARIABLE, accepted, trace_id, traceparent

# Of what is done now: set by the API for a request, by a worker and its trainer for a job.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)

# What a process hands to its children: the form of lines, and the ids of what they are started for.
FORM, REQUEST, JOB = "SYNTHORAX_LOG", "SYNTHORAX_REQUEST_ID", "SYNTHORAX_JOB_ID"

# Of a child process as a whole: its threads have no context of their own.
_process: dict[str, str | None] = {"form": "text", "request": None, "job": None, "trace": None}

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
        record.request = getattr(record, "request", None) or request_id.get() or _process["request"]
        record.trace = trace_id(traceparent.get()) or _process["trace"]
        record.job = getattr(record, "job", None) or job_id.get() or _process["job"]
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
    """One object a line: time, level, logger, message, request, job, trace, and `extra`'s."""

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
    _process["form"] = form
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonForm() if form == "json" else TextForm())
    handler.addFilter(_Ids())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # It quotes the values that it does not like, and a patient's name is one.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("synthorax").setLevel(logging.INFO if form == "json" else logging.WARNING)


def form() -> str:
    """text or json: how this process writes its lines."""
    return str(_process["form"])


def for_child() -> dict[str, str]:
    """The variables by which a child process writes as this one does, with the same ids."""
    ids = {REQUEST: request_id.get(), JOB: job_id.get(), VARIABLE: traceparent.get()}
    return {FORM: form(), **{name: value for name, value in ids.items() if value}}


def configure_child(logger: str) -> None:
    """What a program does first that may be another's child: its lines are as its parent's.

    An exception that ends it is one line of `logger` that names its type alone, since its words may
    name a file; they follow on stderr, as ever.
    """
    form = os.environ.get(FORM) or "text"
    configure(form if form in ("text", "json") else "text")
    _process.update(request=os.environ.get(REQUEST), job=os.environ.get(JOB))
    _process["trace"] = trace_id(accepted(os.environ.get(VARIABLE)))

    def ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            log_failure(logger, kind.__name__)
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = ended


def log_failure(logger: str, title: str) -> None:
    """For a collector: a child ends by what `title` names.  People read the words that follow."""
    if form() == "json":
        logging.getLogger(logger).error("failed: %s", title, extra={"status": "failed"})
