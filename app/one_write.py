"""An answer's head and body in one system call.

uvicorn writes them one after the other, and uvloop sends each at once: through the loopback that is
a sixth of what a small picture costs.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SMALL = 65_536  # bytes; a larger body is not worth a copy


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's, on a transport that waits for what follows a head in the same turn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))


class _Joining:
    """A transport that keeps an answer's head back until the body's first write, or until the event
    loop's turn ends."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) <= _SMALL:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
