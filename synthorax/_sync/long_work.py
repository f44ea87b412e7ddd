# Made of _async/long_work.py by tools/twins.py; change that one.
"""What takes hours on the service and is asked after: a generate job, a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from synthorax._sync.running import sleep
from synthorax._sync.transport import Transport
from synthorax.errors import JobFailed
from synthorax.retries import Deadline

POLL_SECONDS = 1.0

Told = Callable[[dict[str, Any]], None]  # its record


class LongWork:
    """One of them, as it was at the last answer; `reload` asks anew."""

    _route: ClassVar[str]  # of all of its kind

    def __init__(self, transport: Transport, record: dict[str, Any]) -> None:
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

    def reload(self) -> Self:
        """Ask the service how it is now."""
        return self._reloaded(None)

    def wait(self, progress: Told | None = None, timeout: float | None = None) -> Self:
        """Wait until it has ended; raises JobFailed where that is before it was done.

        progress(record), about each second.  timeout: seconds, after which TimeoutError is raised;
        it goes on.
        """
        deadline = Deadline(self.id, timeout)
        while not self.ended:
            deadline.check()
            if progress:
                progress(self.record)
            sleep(deadline.at_most(POLL_SECONDS))
            self._reloaded(deadline)
        if progress:
            progress(self.record)
        if self.status != "succeeded":
            raise JobFailed(self.record)
        return self

    def cancel(self) -> Self:
        """End it; what is done stays."""
        self.record = self._transport.json("POST", f"{self._path}/cancel")
        return self

    def resume(self) -> Self:
        """Do what is missing, where it was cancelled or has failed."""
        self.record = self._transport.json("POST", f"{self._path}/resume")
        return self

    def delete(self) -> None:
        """Really delete it, once it has ended, and all that it made."""
        self._transport.json("DELETE", self._path)

    def _reloaded(self, deadline: Deadline | None) -> Self:
        self.record = self._transport.json("GET", self._path, deadline=deadline)
        return self

    @property
    def _path(self) -> str:
        return f"{self._route}/{self.id}"
