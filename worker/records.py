"""The record of a train job: how it lies in a Redis hash, and in the run folder as its copy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from library.atomic import read_json, remove_left, write_json
from library.locks import waiting
from library.runs import EVENT_SCHEMA, run_folder

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
# Celery's priorities over Redis: 0 is taken first.  A job that was interrupted comes before others
# of its priority, one step lower: its worker died or was stopped, and it has waited before.
PRIORITIES = {"high": 1, "normal": 4, "low": 7}
PRIORITY_STEPS = sorted(step - again for step in PRIORITIES.values() for again in (0, 1))
PROGRESS = ("epoch", "epochs", "images", "fraction", "eta_seconds")
METRICS = ("loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2", "images_per_second")
ENDS_KEPT = 20  # ends of attempts that a record remembers

_JSON = ("request", "progress", "metrics", "error", "ends", "webhook")
_WHOLE = ("attempt", "deaths")
_FLAGS = ("finish", "interrupted")
_PLACES_A_PRIORITY = 10**13  # more than the milliseconds since 1970


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def seconds(moment: str) -> float:
    """A record's moment as seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()


def event(kind: str, job: str, **fields: Any) -> dict[str, Any]:
    return {"schema": EVENT_SCHEMA, "type": kind, "time": now(), "job": job, **fields}


def encoded(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields as Redis holds them: text, JSON where they have structure; no None, no False."""
    return {
        name: json.dumps(value) if name in _JSON else "1" if value is True else str(value)
        for name, value in values.items()
        if value is not None and value is not False
    }


def decoded(fields: Mapping[str, str]) -> dict[str, Any]:
    """The record of a hash; `request`, `progress`, `metrics`, `error`, `ends` always there."""
    record: dict[str, Any] = dict(fields)
    for name in _JSON:
        record[name] = json.loads(fields[name]) if name in fields else None
    for name in _WHOLE:
        record[name] = int(fields.get(name, "0"))
    record["ends"] = record["ends"] or []
    for name in _FLAGS:
        record[name] = fields.get(name) == "1"
    record["ran_seconds"] = float(fields.get("ran_seconds", "0"))
    return record


def priority(record: Mapping[str, Any]) -> int:
    """A job's step of priority: 0 is taken first."""
    step = PRIORITIES[record["request"].get("priority", "normal")]
    return step - bool(record["interrupted"])


def place(record: Mapping[str, Any]) -> int:
    """Where a job queues from now on: behind those of its priority and above."""
    return priority(record) * _PLACES_A_PRIORITY + int(time.time() * 1000)


def queued_at(place: float) -> float:
    """When a job came to its place (s since 1970)."""
    return place % _PLACES_A_PRIORITY / 1000


def latest(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What events change in a record: its progress and its numbers."""
    fields: dict[str, Any] = {}
    for each in events:
        if each["type"] == "metric":
            fields["progress"] = {name: each[name] for name in PROGRESS}
            fields["metrics"] = {name: each[name] for name in METRICS}
    return fields


# The copy in the run folder: what `synthorax repair` goes by when Redis has lost its records.


def keep_copy(data_dir: Path, record: Mapping[str, Any]) -> None:
    """Write `job.json` into the job's run folder (made if need be)."""
    folder = run_folder(data_dir, record["id"])
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    left_out = {"progress", "metrics"}  # metrics.jsonl has them
    if record["status"] in TERMINAL:
        left_out.add("webhook")  # the outbox has it: it is not sent again by a repair
    copy = {name: value for name, value in record.items() if name not in left_out}
    # API, supervisor and sweep write it; what one of them left half-written goes.
    with waiting(folder.path / "job.lock"):
        remove_left(folder.path / "job.json")
        write_json(folder.path / "job.json", copy)


def read_copies(data_dir: Path) -> list[dict[str, Any]]:
    """The copies that can be read, oldest job first; folders without one are skipped."""
    copies = []
    for path in (data_dir / "runs").glob("[!.]*/job.json"):
        try:
            copy = read_json(path)
        except (OSError, ValueError):
            continue
        if isinstance(copy, dict) and copy.get("id") == path.parent.name:
            copies.append(copy)
    return sorted(copies, key=lambda copy: str(copy.get("created_at")))
