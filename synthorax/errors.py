"""What can go wrong between a program and the service.

SynthoraxError
├── ConnectionFailed      nobody answers, or what is no Synthorax; or the answer broke off
├── EngineChanged         the service's engine is another one than this work began with
├── JobFailed             a train job ended without a version
└── StatusError           the service refused: its own words, and what to do
    ├── InvalidRequest    400, 406, 413, 415, 422: a field, what was given, what is allowed
    ├── NotAllowed        401, 403
    ├── NotFound          404
    ├── Conflict          409, 412
    ├── Busy              429, 502, 503, 504: try again later
    └── ServerError       every other 5xx
"""

from __future__ import annotations

from typing import Any


class SynthoraxError(Exception):
    """Every error of this package.  `hint` says what to do, where that is known."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConnectionFailed(SynthoraxError):
    """Nobody answers at the service's address, or what is no service; or an answer broke off."""


class EngineChanged(SynthoraxError):
    """Samples of one piece of work would come from two engines, whose pixels may differ."""


class JobFailed(SynthoraxError):
    """A train job, a generate job or a study ended as failed or cancelled.

    `record` is it as the service shows it.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        problem = record.get("error") or {}
        words = problem.get("detail") or f"{record['id']} is {record['status']}."
        super().__init__(words, problem.get("remedy"))
        self.record = record


class StatusError(SynthoraxError):
    """The service answered with an error: `problem` is its RFC 9457 content.

    `errors` lists each field with what was given and what is allowed.
    """

    def __init__(
        self,
        message: str,
        status_code: int,
        problem: dict[str, Any],
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, problem.get("remedy"))
        self.status_code = status_code
        self.problem = problem
        self.request_id = request_id
        self.retry_after = retry_after  # seconds
        self.errors: list[dict[str, Any]] = problem.get("errors") or []


class InvalidRequest(StatusError):
    """A value of the request is not allowed."""


class NotAllowed(StatusError):
    """No key, or not one for this."""


class NotFound(StatusError):
    """There is nothing of that name."""


class Conflict(StatusError):
    """What is there does not allow it now."""


class Busy(StatusError):
    """The service cannot take it now."""


class ServerError(StatusError):
    """The service failed."""


_KINDS: dict[int, type[StatusError]] = {
    **dict.fromkeys((400, 406, 413, 415, 422), InvalidRequest),
    **dict.fromkeys((401, 403), NotAllowed),
    404: NotFound,
    **dict.fromkeys((409, 412), Conflict),
    **dict.fromkeys((429, 502, 503, 504), Busy),
}


def kind_of(status: int) -> type[StatusError]:
    """The class for an HTTP status."""
    return _KINDS.get(status, ServerError if status >= 500 else StatusError)
