"""What a worker counts, for Prometheus: the families, and the way from whichever process counts.

Jobs run in Celery's pool process, and the numbers are asked of its main process.  What is counted
goes through a pipe that both have since the fork: a line a write, which is atomic up to 4,096 bytes
and never waits.  No lock can be left locked by a process that is killed; a line that does not fit
is lost, which is better than a job that waits for its numbers.

Without SYNTHORAX_WORKER_METRICS_PORT nothing is open, and counting is one comparison.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

_TASK = (1, 10, 60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400)  # s
_SILENT_SECONDS = 60.0  # after which a pool process counts as dead, and its job's numbers go


class Family(NamedTuple):
    """kind: counter, gauge or histogram.  known: values of its one label, there from the start.

    of_job: it goes when the job ends that it tells of.
    """

    kind: str
    text: str
    labels: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    of_job: bool = False


def _of_job(text: str, *labels: str) -> Family:
    return Family("gauge", text, ("job", *labels), of_job=True)


FAMILIES = {
    "synthorax_worker_heartbeat_timestamp_seconds": Family(
        "gauge", "When this worker last told Redis that it lives (s since 1970)"
    ),
    "synthorax_worker_redis_errors_total": Family("counter", "Looks at Redis that failed"),
    "synthorax_attempts_total": Family("counter", "Attempts at train jobs begun"),
    "synthorax_attempt_ends_total": Family(
        "counter",
        "What became of train jobs at the end of an attempt; queued: it goes on later",
        ("outcome",),
        ("succeeded", "failed", "cancelled", "queued"),
    ),
    "synthorax_job_run_seconds": Family(
        "histogram", "How long a train job ran, over all attempts, at its end (s)", ("outcome",)
    ),
    "synthorax_leases_total": Family(
        "counter",
        "Looks at a job's lease: renewed; run out and taken again; lost to another worker",
        ("result",),
        ("renewed", "taken_again", "lost"),
    ),
    "synthorax_child_exits_total": Family(
        "counter",
        "Ends of child processes: 0 done, 1 failed, 75 stopped with a checkpoint, 76 the folder is "
        "busy, below 0 a signal",
        ("child", "code"),
    ),
    "synthorax_child_memory_bytes": Family(
        "gauge", "Memory of the child and all that it started", ("child",), of_job=True
    ),
    "synthorax_gpu_memory_used_bytes": Family("gauge", "Of this worker's cards", ("gpu",)),
    "synthorax_gpu_memory_total_bytes": Family("gauge", "Of this worker's cards", ("gpu",)),
    "synthorax_tasks_total": Family(
        "counter", "Ends of what light and generation workers do", ("task", "outcome")
    ),
    "synthorax_shard_images_total": Family("counter", "Images of shards that were made"),
    "synthorax_task_seconds": Family("histogram", "How long that took (s)", ("task",)),
    "synthorax_training_epoch": _of_job("Epoch of the running job"),
    "synthorax_training_epochs": _of_job("Epochs that it will take"),
    "synthorax_training_kimg": _of_job("Thousands of real images shown"),
    "synthorax_training_images_per_second": _of_job("Real images a second, lately"),
    "synthorax_training_eta_seconds": _of_job("Until its end, at this speed"),
    "synthorax_training_loss": _of_job("Mean loss since the last event", "network"),
    "synthorax_training_d_x": _of_job("Mean of D(x): real images"),
    "synthorax_training_d_g_z": _of_job("Mean of D(G(z)) before D's update"),
    "synthorax_training_kid": _of_job("KID of the validation images (not times 1,000)"),
    "synthorax_training_checkpoint_timestamp_seconds": _of_job("Of the newest checkpoint"),
}

_pipe: int | None = None  # its end for writing


def add(name: str, amount: float = 1.0, **labels: str) -> None:
    """Count."""
    _tell("add", name, amount, labels)


def put(name: str, value: float, **labels: str) -> None:
    """A gauge's value."""
    _tell("put", name, value, labels)


def took(name: str, seconds: float, **labels: str) -> None:
    """An observation of a histogram."""
    _tell("took", name, seconds, labels)


def forget() -> None:
    """The job that this worker ran has ended: what tells of it goes."""
    _tell("forget", "", 0.0, {})


def _tell(how: str, name: str, value: float, labels: dict[str, str]) -> None:
    if _pipe is None:
        return
    try:
        os.write(_pipe, json.dumps([how, name, value, labels]).encode() + b"\n")
    except OSError:  # full, or nobody reads any longer
        return


class Counts:
    """The numbers of a worker, in its main process; made before the pool process is."""

    def __init__(self) -> None:
        global _pipe
        self._lock = threading.Lock()
        self._told_at = time.monotonic()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody asks for them
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._metrics = {
            name: _metric(name, each, self.registry) for name, each in FAMILIES.items()
        }
        self._read, _pipe = os.pipe()
        os.set_blocking(_pipe, False)
        threading.Thread(target=self._follow, daemon=True).start()

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        with self._lock:
            if time.monotonic() - self._told_at > _SILENT_SECONDS:
                self._forget()
            return generate_latest(self.registry)

    def _follow(self) -> None:
        with os.fdopen(self._read, "rb") as lines:
            for line in lines:
                how, name, value, labels = json.loads(line)
                with self._lock:
                    self._told_at = time.monotonic()
                    self._apply(how, name, value, labels)

    def _apply(self, how: str, name: str, value: float, labels: dict[str, str]) -> None:
        if how == "forget":
            self._forget()
            return
        metric = self._metrics[name]
        if labels:
            metric = metric.labels(**labels)
        if how == "add":
            metric.inc(value)
        elif how == "put":
            metric.set(value)
        else:
            metric.observe(value)

    def _forget(self) -> None:
        for name, family in FAMILIES.items():
            if family.of_job:
                self._metrics[name].clear()


def _metric(name: str, family: Family, registry: CollectorRegistry) -> Any:
    kinds: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
    more = {"buckets": _TASK} if family.kind == "histogram" else {}
    made = kinds[family.kind](name, family.text, family.labels, registry=registry, **more)
    for value in family.known:
        made.labels(value)
    return made
