"""What takes hours on the service and is asked after: a generate job, a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from synthorax._async.running import sleep
from synthorax._async.transport import AsyncTransport
from synthorax.errors import JobFailed
from synthorax.retries import Deadline

POLL_SECONDS = 1.0

Told = Callable[[dict[str, Any]], None]  # its record


class AsyncLongWork:
    """One of them, as it was at the last answer; `reload` asks anew."""

    _route: ClassVar[str]  # of all of its kind

    def __init__(self, transport: AsyncTransport, record: dict[str, Any]) -> None:
        self._transport = transport
        self.record = record

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        return str(self.record["status"])

    @property
    def ended(self) -> bool:
        return self.record["finished_at"] is not None

    @property
    def progress(self) -> dict[str, Any]:
        """How far it is: fraction (0 to 1), eta_seconds, and more of its own."""
        found: dict[str, Any] = self.record["progress"]
        return found

    async def reload(self) -> Self:
        """Ask the service how it is now."""
        return await self._reloaded(None)

    async def wait(self, progress: Told | None = None, timeout: float | None = None) -> Self:
        """Wait until it has ended; raises JobFailed where that is before it was done.

        progress(record), about each second.  timeout: seconds, after which TimeoutError is raised;
        it goes on.
        """
        deadline = Deadline(self.id, timeout)
        while not self.ended:
            deadline.check()
            if progress:
                progress(self.record)
            await sleep(deadline.at_most(POLL_SECONDS))
            await self._reloaded(deadline)
        if progress:
            progress(self.record)
        if self.status != "succeeded":
            raise JobFailed(self.record)
        return self

    async def cancel(self) -> Self:
        """End it; what is done stays."""
        self.record = await self._transport.json("POST", f"{self._path}/cancel")
        return self

    async def resume(self) -> Self:
        """Do what is missing, where it was cancelled or has failed."""
        self.record = await self._transport.json("POST", f"{self._path}/resume")
        return self

    async def delete(self) -> None:
        """Really delete it, once it has ended, and all that it made."""
        await self._transport.json("DELETE", self._path)

    async def _reloaded(self, deadline: Deadline | None) -> Self:
        self.record = await self._transport.json("GET", self._path, deadline=deadline)
        return self

    @property
    def _path(self) -> str:
        return f"{self._route}/{self.id}"
