"""An answer as a file: there whole, or not at all, and begun again where it broke off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from synthorax._async.running import sleep
from synthorax._async.transport import AsyncTransport
from synthorax.errors import Busy
from synthorax.generating import check_engine
from synthorax.whole_file import whole


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
    attempts, began = transport.attempts(), None
    with whole(path) as partial:
        while True:
            least = None
            try:
                async with transport.stream(method, address, **arguments) as response:
                    made = (
                        response.headers.get("synthorax-model", ""),
                        response.headers.get("synthorax-engine", ""),
                    )
                    check_engine(began or made, made)
                    began = made
                    with open(partial, "wb") as file:
                        done = 0
                        async for part in response.aiter_bytes():
                            file.write(part)
                            done += len(part)
                            if progress:
                                progress(done)
                break
            except httpx.TransportError as error:
                failure: Exception = transport.unreachable(error)
            except Busy as error:
                failure, least = error, error.retry_after
            delay = attempts.next_delay(least)
            if delay is None:
                raise failure from None
            await sleep(delay)
    return path
