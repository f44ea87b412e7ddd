"""What a request leaves behind: a line in the log, numbers, a span."""

from __future__ import annotations

import logging
import time

from starlette.types import Scope

from app.access.callers import caller
from app.metrics import Metrics
from library.errors import SynthoraxError
from library.settings import Settings
from library.trace_context import accepted, traceparent
from worker import tracing

logger = logging.getLogger("synthorax.app")

_SILENT = ("/health/", "/static/", "/metrics")  # neither in the log nor a span
_ANSWERED_WITHOUT_A_ROUTE = ("/generate", "/openapi.json")


class Telling:
    """Of every request, whoever answered it."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._told = settings.log == "json"

    def begin(self, scope: Scope, given: dict[bytes, bytes], identity: str) -> tracing.Span:
        """The request's span, or none; what it makes is below it, or below its caller's."""
        header = given.get(b"traceparent")
        parent = accepted(header.decode("latin-1")) if header is not None else None
        if not tracing.is_on() or scope["path"].startswith(_SILENT):
            span = tracing.Span(None, parent)
        else:  # without its address, which may hold what its sender likes
            about = {"http.request.method": scope["method"], "synthorax.request_id": identity}
            span = tracing.span(scope["method"], parent, about, "server")
        traceparent.set(span.traceparent)
        return span

    def refused(self, error: SynthoraxError) -> None:
        """It was not let in."""
        self._metrics.refused(error.slug)

    def end(self, scope: Scope, status: int, began: float, span: tracing.Span) -> None:
        found = caller.get()
        method, path, route = scope["method"], scope["path"], _route(scope)
        seconds = time.perf_counter() - began
        self._metrics.request(route, method, status, seconds)
        silent = path.startswith(_SILENT)
        if tracing.is_on() and not silent:
            span.name(f"{method} {route}")
            about = {"http.route": route, "http.response.status_code": status}
            span.set({**about, "synthorax.key": (found.key or None) if found else None})
            span.end(error=f"answered {status}" if status >= 500 else None)
        if self._told and not silent:
            about = {
                "method": method,
                "path": path,
                "status": status,
                "seconds": round(seconds, 6),
                "key": found.key or None if found else None,
                "address": found.address if found else None,
            }
            logger.info("%s %s %d", method, path, status, extra=about)


def _route(scope: Scope) -> str:
    """The route that answered, for counting: addresses would be without number."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    path: str = scope["path"]
    if path.startswith("/static/"):
        return "/static"
    return path if path in _ANSWERED_WITHOUT_A_ROUTE else "other"
