"""An answer as a file: there whole, or not at all, and begun again where it broke off."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from synthorax._async.running import sleep
from synthorax._async.transport import AsyncTransport
from synthorax.errors import Busy
from synthorax.generating import check_engine


async def save_stream(
    transport: AsyncTransport,
    method: str,
    address: str,
    path: Path,
    progress: Callable[[int], None] | None = None,
    **arguments: Any,
) -> Path:
    """Write an answer to `path`; progress(bytes so far).

    An answer that broke off is asked for again from its start.  Where it tells which engine made
    it, the next one must be of the same: EngineChanged is raised else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    attempts, began = transport.attempts(), None
    try:
        while True:
            least = None
            try:
                async with transport.stream(method, address, **arguments) as response:
                    made = tuple(
                        response.headers.get(f"synthorax-{n}", "") for n in ("model", "engine")
                    )
                    if began is not None:
                        check_engine(began, made)
                    began = (made[0], made[1])
                    with open(partial, "wb") as file:
                        done = 0
                        async for part in response.aiter_bytes():
                            file.write(part)
                            done += len(part)
                            if progress:
                                progress(done)
                        file.flush()
                        os.fsync(file.fileno())
                partial.replace(path)
                return path
            except httpx.TransportError as error:
                failure: Exception = transport.unreachable(error)
            except Busy as error:
                failure, least = error, error.retry_after
            delay = attempts.next_delay(least)
            if delay is None:
                raise failure from None
            await sleep(delay)
    finally:
        partial.unlink(missing_ok=True)
