"""A job's events as server-sent events: history first, then live, no gap and nothing twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.sse import format_sse_event
from redis.asyncio import Redis
from redis.exceptions import RedisError

from worker.jobs import TERMINAL, events_key

BLOCK_MS = 10_000  # then a comment keeps the connection alive
PAGE = 500  # events read at once
GAP = "Earlier events are gone; the job's metrics hold every number."
RETRY_MS = 2000  # how soon a browser connects again


async def stream(redis: Redis, job: str, after: str) -> AsyncIterator[bytes]:
    """Events after a stream id ("0": from the start), until the job has ended.

    A reader that has seen the last event of an ended job gets the end of the stream.
    """
    key = events_key(job)
    try:
        first: Any = await redis.xrange(key, count=1)
        if after != "0" and first and _position(after) < _position(first[0][0]):
            # Older events were trimmed away: say so, /metrics has the numbers.
            yield _message("log", {"type": "log", "level": "warning", "message": GAP, "job": job})
        block = None  # what there is, at once; then wait for more
        while True:
            answer: Any = await redis.xread({key: after}, count=PAGE, block=block)
            for _, entries in answer or []:
                for after, fields in entries:
                    event = json.loads(fields["event"])
                    yield _message(event["type"], event, after)
                    if event["type"] == "status" and event["status"] in TERMINAL:
                        return
            if not answer:
                status = await redis.hget(key.removesuffix(":events"), "status")
                if status is None or status in TERMINAL:
                    return
                if block is not None:
                    yield format_sse_event(comment="alive")
                block = BLOCK_MS
    except RedisError:
        return  # the browser connects again with the last id that it has seen


def _message(kind: str, event: dict[str, Any], identity: str | None = None) -> bytes:
    return format_sse_event(data_str=json.dumps(event), event=kind, id=identity, retry=RETRY_MS)


def page(redis: Any, job: str, after: str, limit: int) -> dict[str, Any]:
    """Events after a stream id as one page of JSON."""
    start = f"({after}" if after != "0" else "-"
    entries = redis.xrange(events_key(job), start, "+", count=limit + 1)
    data = [{"id": identity, **json.loads(f["event"])} for identity, f in entries[:limit]]
    more = len(entries) > limit
    return {"data": data, "has_more": more, "next": data[-1]["id"] if data else None}


def _position(identity: str) -> tuple[int, int]:
    milliseconds, _, sequence = identity.partition("-")
    return int(milliseconds), int(sequence or 0)
