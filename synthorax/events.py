"""What a train job tells, as types: the service's schema, version 1.

A field or a kind that a newer service adds is in `raw`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.  `id` is its place in the job's stream."""

    type: str
    time: str
    job: str | None = None
    id: str = ""
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class StatusEvent(Event):
    """The job is in another state, or its trainer in another phase."""

    status: str
    phase: str | None = None
    reason: str | None = None
    attempt: int | None = None
    model: str | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class MetricEvent(Event):
    """The paper's five numbers: means of an epoch (`scope`), or of the steps since the last one."""

    scope: str
    epoch: int
    epochs: int
    step: int
    images: int
    fraction: float
    loss_d: float
    loss_g: float
    d_x: float
    d_g_z1: float
    d_g_z2: float
    images_per_second: float
    eta_seconds: float


@dataclass(frozen=True, kw_only=True)
class CheckpointEvent(Event):
    """A full training state is on the disk."""

    step: int
    images: int


@dataclass(frozen=True, kw_only=True)
class SampleEvent(Event):
    """There is a grid of the fixed noise after an epoch."""

    epoch: int


@dataclass(frozen=True, kw_only=True)
class ValidationEvent(Event):
    """How far the samples are from the validation images, by KID."""

    step: int
    images: int
    kid: float
    by_label: dict[str, float]
    best: float
    best_step: int


@dataclass(frozen=True, kw_only=True)
class LogEvent(Event):
    """A sentence for people."""

    level: str
    message: str


@dataclass(frozen=True, kw_only=True)
class EvaluationEvent(Event):
    """A report on a version that the job published."""

    model: str
    report: str
    lights: dict[str, str] = field(default_factory=dict)


_KINDS: dict[str, type[Event]] = {
    "status": StatusEvent,
    "metric": MetricEvent,
    "checkpoint": CheckpointEvent,
    "sample": SampleEvent,
    "validation": ValidationEvent,
    "log": LogEvent,
    "evaluation": EvaluationEvent,
}


def parse_event(content: dict[str, Any], place: str = "") -> Event:
    """An event of the stream; a kind that is not known here becomes a plain Event."""
    kind = _KINDS.get(content.get("type", ""), Event)
    names = {each.name for each in fields(kind)} - {"raw", "id"}
    known = {name: value for name, value in content.items() if name in names}
    try:
        return kind(**known, id=place or content.get("id") or "", raw=content)
    except TypeError:  # a newer schema has dropped a field
        known = {"type": str(content.get("type")), "time": str(content.get("time"))}
        return Event(**known, id=place, raw=content)


class Messages:
    """Server-sent events out of the lines of a stream."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def feed(self, line: str) -> tuple[str, str] | None:
        """(id, data) where the line ends a message."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        found, self._fields = self._fields, {}
        return (found.get("id", ""), found["data"]) if "data" in found else None
