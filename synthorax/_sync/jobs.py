# Made of _async/jobs.py by tools/twins.py; change that one.
"""Train jobs as objects that can be followed, ended and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx

from synthorax._sync.running import sleep
from synthorax._sync.transport import SILENCE, Transport
from synthorax.errors import Busy, JobFailed
from synthorax.events import Event, Messages, parse_event
from synthorax.retries import Deadline
from synthorax.telling import Teller, teller

_POLL_SECONDS = 2.0


class Job:
    """One train job, as it was at the last answer; `reload` asks anew."""

    def __init__(self, transport: Transport, record: dict[str, Any]) -> None:
        self._transport = transport
        self.record = record

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def status(self) -> str:
        """queued, running, cancelling, succeeded, failed or cancelled."""
        return str(self.record["status"])

    @property
    def ended(self) -> bool:
        return self.record["finished_at"] is not None

    @property
    def model(self) -> str | None:
        """The published version, name@version."""
        found: str | None = self.record["model"]
        return found

    @property
    def progress(self) -> dict[str, Any] | None:
        """epoch, epochs, images, fraction (0 to 1) and eta_seconds."""
        found: dict[str, Any] | None = self.record["progress"]
        return found

    @property
    def metrics(self) -> dict[str, float] | None:
        """The newest loss_d, loss_g, d_x, d_g_z1, d_g_z2 and images_per_second."""
        found: dict[str, float] | None = self.record["metrics"]
        return found

    @property
    def url(self) -> str:
        """The job's page."""
        return f"{self._transport.url}/ui/runs/{self.id}"

    def __repr__(self) -> str:
        far = f", epoch {self.progress['epoch']}/{self.progress['epochs']}" if self.progress else ""
        return f"<{type(self).__name__} {self.id}: {self.status}{far}>"

    def reload(self) -> Job:
        """Ask the service how the job is now."""
        return self._reloaded(None)

    def events(self, after: str = "", timeout: float | None = None) -> Iterator[Event]:
        """What the job told and tells, live until it has ended.

        Goes on by itself where the connection breaks or the service restarts.  after: the id of
        the last event that is known already.  timeout: seconds, after which TimeoutError is
        raised; the job goes on.
        """
        deadline = Deadline(self.id, timeout)
        last, attempts = after, self._transport.attempts(deadline)
        while True:
            deadline.check()
            # What an ended job tells is there: only a whole look begun after its end has it all.
            complete = self.ended
            headers = {"Accept": "text/event-stream"}
            if last:
                headers["Last-Event-ID"] = last
            delay: float | None = 0.0
            try:
                with self._transport.stream(
                    "GET",
                    f"{self._path}/events",
                    headers=headers,
                    silence=deadline.at_most(SILENCE),
                ) as response:
                    messages = Messages()
                    for line in response.iter_lines():
                        message = messages.feed(line)
                        if message is not None:
                            last = message[0] or last
                            yield parse_event(json.loads(message[1]), last)
                        # Comments are signs of life, too, and may be all that there is for hours.
                        deadline.check()
                        attempts = self._transport.attempts(deadline)
            except httpx.TransportError as error:
                complete, delay = False, attempts.next_delay()
                if delay is None:
                    raise self._transport.unreachable(error) from None
            except Busy as error:
                complete, delay = False, attempts.next_delay(error.retry_after)
                if delay is None:
                    raise
            if complete:
                return
            if delay:
                sleep(delay)
            self._reloaded(deadline)

    def wait(
        self,
        progress: bool | Callable[[Event], None] = False,
        timeout: float | None = None,
    ) -> Job:
        """Wait until the job has ended; raises JobFailed where that is without a version.

        progress: True shows a bar on stderr; a function is told every event.  timeout: seconds,
        after which TimeoutError is raised; the job goes on.  A service that restarts in between
        is waited for.
        """
        deadline = Deadline(self.id, timeout)
        told: Teller = teller(progress)
        with told:
            if progress and not self.ended:
                for event in self.events(timeout=timeout):
                    told.tell(event)
            while not self.ended:
                deadline.check()
                sleep(deadline.at_most(_POLL_SECONDS))
                self._reloaded(deadline)
        if self.status != "succeeded":
            raise JobFailed(self.record)
        return self

    def cancel(self) -> Job:
        """End the job; a running one writes a checkpoint first."""
        return self._wish("cancel")

    def finish(self) -> Job:
        """End the job after its epoch, and publish what there is then."""
        return self._wish("finish")

    def resume(self, **changes: Any) -> Job:
        """Go on with an ended job; changes: epochs, on_collapse, max_seconds."""
        return self._wish("resume", changes)

    def clone(self, key: str | None = None, **changes: Any) -> Job:
        """A new job like this one; changes: config, model, dataset, metadata, labels, …

        key: an idempotency key; the same one makes no second job.
        """
        made = self._transport.json("POST", f"{self._path}/clone", json=changes, **idempotent(key))
        return Job(self._transport, made)

    def delete(self) -> None:
        """Forget an ended job and remove its run folder; a published version stays."""
        self._transport.json("DELETE", self._path)

    def history(self) -> list[dict[str, Any]]:
        """Every metric line of the run so far: of steps and of epochs (`scope`)."""
        found: list[dict[str, Any]] = (self._transport.json("GET", f"{self._path}/metrics"))["data"]
        return found

    @property
    def _path(self) -> str:
        return f"/train-jobs/{self.id}"

    def _reloaded(self, deadline: Deadline | None) -> Job:
        self.record = self._transport.json("GET", self._path, deadline=deadline)
        return self

    def _wish(self, what: str, changes: dict[str, Any] | None = None) -> Job:
        arguments = {} if changes is None else {"json": changes}
        self.record = self._transport.json("POST", f"{self._path}/{what}", **arguments)
        return self


class Jobs:
    """The train jobs of a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, job: str) -> Job:
        """A job by its id.  Raises NotFound."""
        return Job(self._transport, self._transport.json("GET", f"/train-jobs/{job}"))

    def list(
        self, status: str | None = None, label: str | None = None, limit: int = 50
    ) -> list[Job]:
        """Jobs, newest first; `limit` at most 200."""
        given = {"status": status, "label": label, "limit": limit}
        params = {name: value for name, value in given.items() if value is not None}
        answer = self._transport.json("GET", "/train-jobs", params=params)
        return [Job(self._transport, record) for record in answer["data"]]


def idempotent(key: str | None) -> dict[str, Any]:
    """Arguments of a call that makes something, and that may be sent again with its key."""
    return {"headers": {"Idempotency-Key": key or str(uuid4())}, "repeatable": True}
