"""Rebuild job records from run folders, after Redis has lost them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.runs import run_folder
from worker import keys
from worker.jobs import JobStore
from worker.queue import TRAINING, messages
from worker.records import TERMINAL, event, keep_copy, latest, read_copies
from worker.sweeper import Send


@dataclass(frozen=True)
class Repaired:
    """A job whose record was rebuilt, and the status it has now."""

    job: str
    status: str


def lost(store: JobStore, data_dir: Path) -> list[str]:
    """Jobs that have a run folder and no record.  Raises redis.exceptions.RedisError."""
    jobs = [copy["id"] for copy in read_copies(data_dir)]
    pipe = store.redis.pipeline(transaction=False)
    for job in jobs:
        pipe.exists(keys.record(job))
    return [job for job, there in zip(jobs, pipe.execute(), strict=True) if not there]


def repair(store: JobStore, data_dir: Path, send: Send) -> list[Repaired]:
    """Put back every lost record, and queue again what had not ended.

    May be run at any time, also twice or while jobs run.  Raises redis.exceptions.RedisError.
    """
    repaired = []
    for copy in read_copies(data_dir):
        record = _rebuilt(data_dir, copy)
        if store.restore(record, _events(data_dir, record)):
            keep_copy(data_dir, record)
            repaired.append(Repaired(record["id"], record["status"]))
    there = messages(store.redis, TRAINING)
    for record in store.several(store.queued()):
        if record["id"] not in there:
            send(record)
    return repaired


def _rebuilt(data_dir: Path, copy: dict[str, Any]) -> dict[str, Any]:
    """The record that the run folder speaks for: what had not ended is queued again."""
    record = {**copy, **latest(run_folder(data_dir, copy["id"]).read_metrics()[-1:])}
    if record["status"] == "cancelling":
        record["status"] = "cancelled"
    elif record["status"] not in TERMINAL:
        record["status"] = "queued"
    if record["status"] in TERMINAL:
        record.setdefault("finished_at", copy.get("started_at") or copy["created_at"])
    return record


def _events(data_dir: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """A job's stream again: each epoch's numbers, and where it stands."""
    lines = run_folder(data_dir, record["id"]).read_metrics()
    epochs = [line for line in lines if line["scope"] == "epoch"][-keys.EVENTS_KEPT // 2 :]
    told: dict[str, Any] = {"reason": "rebuilt from the run folder"}
    if record["status"] in TERMINAL:
        told |= {name: record[name] for name in ("model", "error") if record.get(name)}
    return [*epochs, event("status", record["id"], status=record["status"], **told)]
