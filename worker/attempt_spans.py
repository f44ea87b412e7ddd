"""An attempt at a train job as spans, made by its worker from the trainer's events.

The trainer itself knows nothing of it: it tells what it does anyway, and training/ needs no SDK, no
network and no thread that sends.

    queue            from the job's creation to its first attempt
    attempt          consumer
      trainer        the child process
        preparing, training, publishing     its phases
          epoch, checkpoint                 below training, sent while a run of days is under way
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker import tracing
from worker.records import seconds
from worker.tracing import Span

_EPOCH = ("epoch", "images", "images_per_second", "loss_d", "loss_g")


class AttemptSpans:
    """Of one attempt: made when its trainer is about to start."""

    def __init__(self, record: Mapping[str, Any], worker: str) -> None:
        about = {
            "synthorax.job": record["id"],
            "synthorax.request_id": record.get("request_id"),
            "synthorax.attempt": record["attempt"],
        }
        parent = record.get("traceparent")
        if record["attempt"] == 1:
            began = seconds(record["created_at"])
            tracing.span("queue", parent, about, "producer", began).end()
        about["synthorax.worker"] = worker
        self._attempt = tracing.span("attempt", parent, about, "consumer")
        self._trainer = tracing.span("trainer", self._attempt.traceparent, {})
        self.traceparent = self._trainer.traceparent
        self._phase: Span | None = None
        self._epoch: Span | None = None

    def take(self, told: Mapping[str, Any]) -> None:
        """Take what an event says."""
        if told["type"] == "status":
            self._end_phase()
            if (phase := told.get("phase")) is not None:
                self._phase = tracing.span(phase, self.traceparent, {})
                self._begin_epoch(phase)
        elif told["type"] == "metric" and told["scope"] == "epoch" and self._epoch is not None:
            self._epoch.set({f"synthorax.{name}": told[name] for name in _EPOCH})
            self._epoch.end()
            self._begin_epoch("training")
        elif told["type"] == "checkpoint" and self._phase is not None:
            about = {f"synthorax.{name}": told[name] for name in ("step", "images")}
            tracing.span("checkpoint", self._phase.traceparent, about).end()

    def _begin_epoch(self, phase: str) -> None:
        # What is begun and never ended is never sent: the one after the last epoch.
        if self._phase is not None and phase == "training":
            self._epoch = tracing.span("epoch", self._phase.traceparent, {})

    def _end_phase(self) -> None:
        if self._phase is not None:
            self._phase.end()
        self._phase = self._epoch = None

    def end(self, code: int | None, reported: Mapping[str, Any]) -> None:
        """code: the trainer's exit status; reported: its last word about its end."""
        self._end_phase()
        about = {
            "synthorax.exit_code": code,
            "synthorax.status": reported.get("status"),
            "synthorax.model": reported.get("model"),
        }
        error = None if code in (0, 75) else f"ended with {code}"
        for span in (self._trainer, self._attempt):
            span.set(about)
            span.end(error=error)
