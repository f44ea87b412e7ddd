"""A batch as spans of the requests that it was made for: waiting, sampling, encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker import tracing

if TYPE_CHECKING:
    from app.engine.batch import Batch

BATCHES_MAX = 16  # of one request: an answer of 100,000 images has thousands


def trace(batch: Batch) -> None:
    """Called when its images are delivered, and spans are sent."""
    began = tracing.moment(batch.began)
    sampled = began + batch.forward_seconds
    for part in batch.parts:
        ticket = part.ticket
        if ticket.traceparent is None or ticket.batches_traced >= BATCHES_MAX:
            continue
        if part.start == 0:
            admitted = tracing.moment(ticket.started)
            tracing.span("queue", ticket.traceparent, {}, start=admitted).end(began)
        ticket.batches_traced += 1
        about = {
            "synthorax.images": part.stop - part.start,
            "synthorax.batch_images": batch.images,
            "synthorax.model": batch.loaded.version.reference,
            "synthorax.engine": batch.loaded.engine_digest,
        }
        tracing.span("batch", ticket.traceparent, about, start=began).end(sampled)
        ended = sampled + batch.encode_seconds
        tracing.span("encode", ticket.traceparent, {}, start=sampled).end(ended)
