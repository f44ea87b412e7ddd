"""HTTP with patience: what may be sent again is, and every refusal becomes an error of the tree."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from synthorax._async.running import blocking, sleep
from synthorax.errors import Busy, ConnectionFailed, StatusError, kind_of
from synthorax.links import origin
from synthorax.retries import FIRST_PATIENCE, Attempts, Deadline

TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # s
SILENCE = 90.0  # s; the comments of a stream are 10 s apart
_REPEATABLE = ("GET", "HEAD")
_START = "Start it with `synthorax serve`, or set SYNTHORAX_URL."
_PART = 1 << 20  # bytes of a file that are sent together


class AsyncTransport:
    """Calls on one service.  It may be used after a fork: each process has its own connections."""

    def __init__(self, url: str, api_key: str | None, patience: float) -> None:
        origin(url)  # raises SynthoraxError where it is no address
        self.url = url
        self.patience = patience
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.reached = False
        self._process = 0
        self._http: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        """The connections of this process."""
        if self._http is None or self._process != os.getpid():
            self._process = os.getpid()
            self._http = httpx.AsyncClient(
                base_url=self.url, timeout=TIMEOUT, headers=self._headers
            )
        return self._http

    async def aclose(self) -> None:
        if self._http is not None and self._process == os.getpid():
            await self._http.aclose()
        self._http = None

    def attempts(self, deadline: Deadline | None = None) -> Attempts:
        patience = self.patience if self.reached else min(FIRST_PATIENCE, self.patience)
        return Attempts(patience, deadline)

    async def send(
        self,
        method: str,
        path: str,
        repeatable: bool | None = None,
        deadline: Deadline | None = None,
        **arguments: Any,
    ) -> httpx.Response:
        """The answer to one call, tried again where that cannot do it twice.

        repeatable: sending it twice is the same as once; by default so for GET.  Raises the
        errors of synthorax.errors; TimeoutError where it is not sent again past `deadline`.
        """
        again = method in _REPEATABLE if repeatable is None else repeatable
        attempts = self.attempts(deadline)
        while True:
            failure: ConnectionFailed | StatusError
            least: float | None = None
            try:
                response = await self.http.request(method, path, **arguments)
            except httpx.TransportError as error:
                failure = self.unreachable(error)
                may = again or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            else:
                self.reached = True
                if response.is_success:
                    return self._ours(response)
                failure = refusal(response)
                may, least = again and isinstance(failure, Busy), failure.retry_after
            delay = attempts.next_delay(least) if may else None
            if delay is None:
                raise failure
            await sleep(delay)

    async def json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """An answer's JSON object; {} where it has no content."""
        response = await self.send(method, path, **arguments)
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self.stranger(response)
        return answer

    async def send_file(
        self,
        path: str,
        source: Path,
        params: Mapping[str, str],
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """POST a ZIP as it is read from the disk; progress(bytes sent, size).  Sent once."""
        size = source.stat().st_size

        async def parts() -> AsyncIterator[bytes]:
            sent = 0
            with open(source, "rb") as file:
                while part := await blocking(file.read, _PART):
                    yield part
                    sent += len(part)
                    if progress:
                        progress(sent, size)

        return await self.json(
            "POST",
            path,
            params=params,
            content=parts(),
            headers={"Content-Type": "application/zip", "Content-Length": str(size)},
            timeout=httpx.Timeout(60, read=600),
        )

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        silence: float = SILENCE,
        **arguments: Any,
    ) -> AsyncIterator[httpx.Response]:
        """An answer to be read as it comes, at most `silence` seconds apart; one attempt."""
        timeout = httpx.Timeout(60.0, connect=5.0, read=silence)
        async with self.http.stream(
            method, path, headers=headers, timeout=timeout, **arguments
        ) as response:
            self.reached = True
            if not response.is_success:
                await response.aread()
                raise refusal(response)
            yield self._ours(response)

    def unreachable(self, error: httpx.TransportError) -> ConnectionFailed:
        return ConnectionFailed(
            f"No Synthorax answers at {self.url} ({type(error).__name__}).", _START
        )

    def stranger(self, response: httpx.Response) -> ConnectionFailed:
        """What to say of an answer that no Synthorax gives."""
        kind = response.headers.get("content-type", "nothing")
        return ConnectionFailed(
            f"No Synthorax answers at {self.url}: what does sends {kind}.", _START
        )

    def _ours(self, response: httpx.Response) -> httpx.Response:
        """The answer; raises ConnectionFailed for a page, as a portal or another server sends."""
        if response.headers.get("content-type", "").startswith("text/html"):
            raise self.stranger(response)
        return response


def refusal(response: httpx.Response) -> StatusError:
    """The error that an answer tells."""
    try:
        problem = response.json()
        message = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        problem, message = {}, f"The service answered {response.status_code}."
        if response.has_redirect_location:  # it is not followed: the key is for this host
            message = f"{message} It points to {response.headers['location']}: set SYNTHORAX_URL."
    after = response.headers.get("retry-after", "")
    return kind_of(response.status_code)(
        message,
        response.status_code,
        problem,
        response.headers.get("x-request-id"),
        float(after) if after.isdecimal() else None,
    )
