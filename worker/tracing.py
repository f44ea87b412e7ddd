"""Spans of OpenTelemetry, sent by OTLP over HTTP; off, and nothing imported, without an endpoint.

Configured by the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS, OTEL_TRACES_SAMPLER,
OTEL_SERVICE_NAME, …).  The provider is our own and not the global one, so that no library sends
spans of its own, whose attributes might name files, addresses or persons.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from library import __version__
from library.errors import InvalidValue
from library.trace_context import traceparent

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_END_SECONDS = 5.0  # for what is not sent yet, when a process ends

_provider: Any = None
_tracer: Any = None


def endpoint() -> str | None:
    """The variable that names where spans go; None: tracing is off."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    return next((name for name in _ENDPOINTS if os.environ.get(name, "").strip()), None)


def check() -> None:
    """Raises InvalidValue where an endpoint is configured and spans could not be sent there."""
    name = endpoint()
    if name is None:
        return
    for variable in _PROTOCOLS:
        protocol = os.environ.get(variable, "").strip()
        if protocol not in ("", "http/protobuf"):
            raise InvalidValue(
                f"{variable} is {protocol!r}.",
                field=variable,
                value=protocol,
                remedy="Spans are sent as http/protobuf: use that, and the collector's port 4318.",
            )
    if not all(map(_is_installed, _NEEDED)):
        raise InvalidValue(
            f"{name} is set, and OpenTelemetry's SDK is not installed.",
            field=name,
            remedy="pip install 'synthorax[otel]', or leave the variable out: nothing is traced.",
        )


def begin(service: str) -> None:
    """Send this process's spans from now on, if an endpoint is configured.  Raises as `check`.

    After a fork, not before it: the sender is a thread.
    """
    global _provider, _tracer
    check()
    if endpoint() is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.version": __version__}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        about["service.name"] = f"synthorax-{service}"
    _provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("synthorax", __version__)


def end() -> None:
    """Send what waits, for a few seconds at most: a collector that is away stops nobody's end."""
    global _provider, _tracer
    if _provider is not None:
        thread = threading.Thread(target=_provider.shutdown, daemon=True)
        thread.start()
        thread.join(_END_SECONDS)
    _provider = _tracer = None


def is_on() -> bool:
    return _tracer is not None


class Span:
    """A span, or nothing at all; `traceparent` is where others go on."""

    def __init__(self, span: Any, traceparent: str | None) -> None:
        self._span, self.traceparent = span, traceparent

    def name(self, name: str) -> None:
        if self._span is not None:
            self._span.update_name(name)

    def set(self, about: Mapping[str, Any]) -> None:
        """Attributes: ids and numbers."""
        if self._span is not None:
            self._span.set_attributes(_given(about))

    def end(self, at: float | None = None, error: str | None = None) -> None:
        """at: s since 1970 (now, if left out); error: why it failed, without names."""
        if self._span is None:
            return
        if error is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(None if at is None else int(at * 1e9))


def span(
    name: str,
    parent: str | None,
    about: Mapping[str, Any],
    kind: str = "internal",
    start: float | None = None,
) -> Span:
    """Begin a span below a traceparent (None: a trace of its own).

    kind: internal, server, producer, consumer.  start: s since 1970 (now, if left out).
    """
    if _tracer is None:
        return Span(None, parent)
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind

    began = _tracer.start_span(
        name,
        Context() if parent is None else _below(parent),
        SpanKind[kind.upper()],
        _given(about),
        start_time=None if start is None else int(start * 1e9),
    )
    context = began.get_span_context()
    here = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return Span(began, here)


def moment(monotonic: float) -> float:
    """A moment of time.monotonic() as s since 1970."""
    return time.time() - (time.monotonic() - monotonic)


def current() -> str | None:
    """Where this task is in a trace, if spans are sent."""
    return traceparent.get() if _tracer is not None else None


def _below(parent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    _, trace, number, flags = parent.split("-")
    remote = SpanContext(int(trace, 16), int(number, 16), True, TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _given(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in about.items() if value is not None}


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package above it
        return False
