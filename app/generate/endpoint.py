"""POST /generate as a lean ASGI callable.

FastAPI's own endpoint machinery costs several times what all else costs with a fast model
(docs/performance.md), so it documents this route and does not run it.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.types import Message, Receive, Scope, Send

from app import errors
from app.engine.pool import EnginePool
from app.engine.ticket import Cut, Disconnected, Samples
from app.engine.turn import Turn
from app.generate.answer import Headers, headers_of
from app.generate.forms import KINDS, AnswerForm, Asked, FormKind, check_count, check_filtered
from app.generate.near_copies import NearCopyFilters
from app.generate.samples import samples_of
from app.generate.schemas import GenerateRequest
from app.metrics import Metrics
from app.negotiation import preferred
from app.schemas import parsed
from library.errors import InvalidValue

logger = logging.getLogger("synthorax.app")

PATH = "/generate"
_MEDIA_TYPES = tuple(KINDS)


class GenerateEndpoint:
    """ASGI: answers POST /generate."""

    def __init__(self, pool: EnginePool, metrics: Metrics, filters: NearCopyFilters) -> None:
        self._pool = pool
        self._filters = filters
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = "none"
        try:
            request = parsed(GenerateRequest, await _body(receive))
            kind = KINDS[preferred(_accept(scope), _MEDIA_TYPES)]
            form = kind.media_type
            await self._answer(request, kind, receive, send)
            status = "200"
        except Disconnected:
            status = "499"
        except Cut as error:
            # The server closes the connection, so that nobody takes a part for the whole.
            logger.warning("an answer was cut: %r", error.__cause__)
            status = "cut"
        except Exception as error:
            response = errors.response_to(error)
            status = str(response.status_code)
            await response(scope, receive, send)
        self._metrics.answered(form, status)

    async def _answer(
        self, request: GenerateRequest, kind: FormKind, receive: Receive, send: Send
    ) -> None:
        count = len(request.items) if request.items is not None else request.count
        check_count(kind, count, "count" if request.items is None else "items")
        if request.format is not None and not kind.holds_files:
            raise InvalidValue(
                f"format is given, and {kind.media_type} has no files.",
                field="format",
                value=request.format,
                remedy="Accept application/zip; or, for one image, accept its media type.",
            )
        pool = self._pool
        version = await pool.found(request.model)
        samples: Samples = samples_of(request, version)
        accepted, paid = None, 0
        if request.reject_near_copies:
            check_filtered(kind, count)
            loaded = pool.now(version) or await pool.ensure(version)
            truncation = request.truncation
            accepted = await self._filters.accepted(pool, loaded, samples, truncation)
            samples, paid = accepted.samples, count
        async with pool.turn(version, count, kind.streamed, paid) as turn:
            loaded = pool.now(version) or await pool.ensure(version)
            origin = loaded.origin(request.truncation)
            repeats = request.items is not None or accepted is not None
            asked = Asked(loaded, origin, count, repeats, request.format or "png", accepted)
            form = kind.build(asked)
            head = form.head()  # before anything is made: forms count their bytes
            turn.begin(loaded, samples, request.truncation, form, receive)
            if kind.streamed:
                reads = _patient(send, pool.deadline_seconds)
                headers = [*headers_of(kind, asked, form), *turn.quota]
                await _stream(turn, head, form, headers, reads)
            else:
                await _whole(turn, head, form, kind, asked, send)


async def _whole(
    turn: Turn, head: bytes, form: AnswerForm, kind: FormKind, asked: Asked, send: Send
) -> None:
    parts = [head]
    while not turn.all_taken:
        made = await turn.next()
        assert made is not None
        parts.append(made[1])
    parts.extend(form.tail())
    body = b"".join(parts)
    headers = [*headers_of(kind, asked, form), *turn.quota]
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(turn: Turn, head: bytes, form: AnswerForm, headers: Headers, send: Send) -> None:
    """The answer as it is made; it begins with the first images, so that until then all errors
    have their status."""
    made = await turn.next()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        await send({"type": "http.response.body", "body": head, "more_body": True})
        while made is not None:
            await send({"type": "http.response.body", "body": made[1], "more_body": True})
            made = await turn.next()
        for part in form.tail():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except Disconnected:
        raise
    except Exception as error:
        raise Cut from error
    await send({"type": "http.response.body", "body": b""})


def _patient(send: Send, seconds: float) -> Send:
    """Gives a reader that takes nothing for so long up: TimeoutError."""

    async def sending(message: Message) -> None:
        async with asyncio.timeout(seconds):
            await send(message)

    return sending


async def _body(receive: Receive) -> bytes:
    """The guard bounds it."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Disconnected
    return body


def _accept(scope: Scope) -> str:
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
    return ", ".join(given) or "*/*"
