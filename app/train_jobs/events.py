"""A job's events as server-sent events: history first, then live, no gap and nothing twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi.sse import format_sse_event
from prometheus_client.core import Metric
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.metrics import gauge
from library.errors import Busy, InvalidValue
from worker import keys
from worker.records import TERMINAL, event

BLOCK_MS = 10_000  # then a comment keeps the connection alive
PAGE = 500  # events read at once
GAP = "Earlier events are gone; /train-jobs/{job}/metrics holds every number."
RETRY_MS = 2000  # how soon a browser connects again


class Readers:
    """How many read event streams: each holds a connection to Redis for as long as it reads."""

    def __init__(self, most: int) -> None:
        self._most, self._now = most, 0

    def families(self) -> Iterator[Metric]:
        """For /metrics."""
        yield gauge("synthorax_event_streams", "Readers of event streams", {(): self._now}, ())

    def check(self) -> None:
        """Raises Busy when there are as many as there may be."""
        if self._now >= self._most:
            raise Busy(
                f"{self._now} readers follow events already.",
                remedy="Try again in a moment, or ask for events as pages of JSON.",
            )

    async def counted(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._now += 1
        try:
            async for message in messages:
                yield message
        finally:
            self._now -= 1


async def stream(redis: Redis, job: str, after: str) -> AsyncIterator[bytes]:
    """Events after a stream id ("0": from the start), until the job has ended.

    A reader that has seen the last event of an ended job gets the end of the stream.
    """
    key = keys.events(job)
    ended = False
    try:
        if await _trimmed(redis, key, after):
            yield _gap(job)
        block: int | None = None  # what there is, at once; then wait for more
        while True:
            answer: Any = await redis.xread({key: after}, count=PAGE, block=block)
            for _, entries in answer or []:
                for after, fields in entries:
                    told = json.loads(fields["event"])
                    yield _message(told, after)
                # A slow reader of a fast job may fall behind what the stream keeps.
                if len(entries) == PAGE and await _trimmed(redis, key, after):
                    yield _gap(job)
            if answer:
                continue
            # Its last event and its end are written at once, and an end may be taken back
            # (resume): the end of the stream is an empty look after the end was seen.
            if ended:
                return
            status = await redis.hget(keys.record(job), "status")
            ended = status is None or status in TERMINAL
            if block is not None and not ended:
                yield format_sse_event(comment="alive")
            block = None if ended else BLOCK_MS
    except RedisError:
        return  # the browser connects again with the last id that it has seen


async def _trimmed(redis: Any, key: str, after: str) -> bool:
    """Whether events after `after` are gone from the stream."""
    first = await redis.xrange(key, count=1)
    if not first or _position(after) >= _position(first[0][0]):
        return False
    return _missing(await redis.xinfo_stream(key))


def _missing(info: dict[str, Any]) -> bool:
    return int(info["entries-added"]) > int(info["length"])


def _gap(job: str) -> bytes:
    return _message(event("log", job, level="warning", message=GAP.format(job=job), gap=True))


def _message(told: dict[str, Any], identity: str | None = None) -> bytes:
    return format_sse_event(
        data_str=json.dumps(told), event=told["type"], id=identity, retry=RETRY_MS
    )


def page(redis: Any, job: str, after: str, limit: int) -> dict[str, Any]:
    """Events after a stream id as one page of JSON; `trimmed`: earlier ones are gone."""
    key = keys.events(job)
    start = f"({after}" if after != "0" else "-"
    entries = redis.xrange(key, start, "+", count=limit + 1)
    data = [{"id": identity, **json.loads(f["event"])} for identity, f in entries[:limit]]
    first = redis.xrange(key, count=1)
    before = bool(first) and _position(after) < _position(first[0][0])
    return {
        "data": data,
        "has_more": len(entries) > limit,
        "next": data[-1]["id"] if data else None,
        "trimmed": before and _missing(redis.xinfo_stream(key)),
    }


def checked(after: str) -> str:
    """The same id of a stream.  Raises InvalidValue for one that Redis cannot have."""
    if max(_position(after)) >= 2**64:
        raise InvalidValue(
            f"No event has the id {after!r}.",
            field="after",
            value=after,
            remedy="Give an event's own id, or 0 for all events.",
        )
    return after


def _position(identity: str) -> tuple[int, int]:
    milliseconds, _, sequence = identity.partition("-")
    return int(milliseconds), int(sequence or 0)
