"""Where in a trace this process is: W3C's traceparent, from HTTP header to environment.

It is kept and handed on whether or not spans are sent from here (worker.tracing).
"""

from __future__ import annotations

import re
from contextvars import ContextVar

VARIABLE = "TRACEPARENT"  # of a child process
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def accepted(text: str | None) -> str | None:
    """A caller's traceparent, if it is one (version 00); what is not is as if it were not there."""
    return text if text is not None and _FORM.fullmatch(text) else None


def trace_id(text: str | None) -> str | None:
    return text[3:35] if text is not None else None
