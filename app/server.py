"""uvicorn, with an end in order: not ready, what is under way within a bound, then exit 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from app.dependencies import State
from app.one_write import OneWriteProtocol
from library.settings import Settings

GRACE_SECONDS = 3  # for answers that are left after the drain, before they are cut
_LOOK_SECONDS = 0.05


class Server(uvicorn.Server):
    """SIGTERM and SIGINT begin the end; a second SIGINT ends at once."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then close.

        While it drains the port stays open: /health/ready says 503, so that a proxy looks
        elsewhere, and new requests for images are refused with Retry-After.
        """
        pool = self._state.pool
        pool.drain()
        if self._state.streams is not None:
            await self._state.streams.aclose()  # ends event streams; browsers come again
        deadline = time.monotonic() + self._state.settings.drain_seconds
        while pool.turns and time.monotonic() < deadline and not self.force_exit:
            await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again at the end, and the status would not be 0."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(app: FastAPI, settings: Settings) -> int:
    """Serve until a signal.  Returns the exit status."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=OneWriteProtocol,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,  # seldom the one to close a connection that a client is about to use
        server_header=False,
        access_log=False,
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        log_level="warning",
    )
    server = Server(config, app.state.synthorax)
    server.run()
    return 0 if server.started else 1
