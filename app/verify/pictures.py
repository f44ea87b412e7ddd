"""Files that are sent to be compared: so many bytes at once, decoded in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from starlette.requests import Request

from app.guard import BODY_MAX_OF
from app.verify.reading import Picture, refused
from library.decoding.pool import Decoders
from library.errors import Busy, InvalidValue

_HELD_MAX = 4 * BODY_MAX_OF["/verify"]  # bytes of all bodies that are here
_PROCESSES = 2
_MEMORY_MB = 2048  # of addresses, a process
_SECONDS = 20.0  # a file; and until a process is free


class Pictures:
    """Lives on the event loop; its processes are started by the first file."""

    def __init__(self) -> None:
        self._decoders = Decoders(_PROCESSES, _MEMORY_MB, _SECONDS, "app.verify.decoder")
        self._free = asyncio.Semaphore(_PROCESSES)
        self._held = 0

    def close(self) -> None:
        self._decoders.close()

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[bytes]:
        """A request's body, for as long as the block lasts.  Raises Busy beside too many."""
        body = bytearray()
        held = 0
        try:
            async for part in request.stream():
                held += len(part)
                self._held += len(part)
                if self._held > _HELD_MAX:
                    raise _busy()
                body += part
            yield bytes(body)
        finally:
            self._held -= held

    async def read(self, content: bytes, base64: bool = False) -> Picture:
        """A file as `app.verify.reading.read` reads it; it may be in base64.

        Raises InvalidValue for what is no picture of ours, Busy while others take all processes.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), _SECONDS)
        except TimeoutError:
            raise _busy() from None
        try:
            task = {"content": content, "base64": base64}
            answer = await asyncio.to_thread(self._decoders.one, task)
        finally:
            self._free.release()
        if answer.refused is not None:
            raise refused(answer.refused)
        if "wrong" in answer.facts:
            detail, value, remedy = answer.facts["wrong"]
            raise InvalidValue(detail, field="image", value=value, remedy=remedy)
        levels = np.frombuffer(answer.blobs[0], np.uint8).reshape(answer.facts["shape"])
        return Picture(levels, answer.facts["facts"], answer.facts["lossy"])


def _busy() -> Busy:
    return Busy("Many other files are being compared.", remedy="Send this one again in a moment.")
