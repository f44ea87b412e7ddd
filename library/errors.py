"""The one tree of exceptions.

SynthoraxError
├── InvalidValue      a field holds a value that is not allowed
├── NotFound          no such model, version, label, job, dataset
├── Conflict          the thing is in a state that does not allow this
├── Unusable          something on disk is damaged, incomplete or of an unknown format
├── Busy              a bound is reached; trying again later helps
└── Unavailable       a part of the service (Redis, a device) is away
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

_SHOWN_MAX = 200  # characters of what was given


def shown(value: Any) -> Any:
    """What was given, as JSON can say it, and cut so that an error is never larger than its cause.

    Numbers that JSON does not have (NaN, infinity) become text, and so does what holds them.
    """
    if isinstance(value, int):  # true and false are, too
        return value if abs(value) < 2**64 else f"a whole number of {value.bit_length()} bits"
    if value is None or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = f"a {type(value).__name__}"  # where Python cannot say it either
    try:
        text = value if isinstance(value, str) else repr(value)
        if text is not value and len(json.dumps(value, allow_nan=False)) <= _SHOWN_MAX:
            return value
    except (TypeError, ValueError, RecursionError):
        pass
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


class SynthoraxError(Exception):
    """An error that a user can act on.

    detail: what is wrong, in one sentence, with the value given;
    field: the request or configuration field (dotted path), if there is one;
    value: what was given; remedy: what to do instead; suggestion: configuration to try.
    """

    retry_after = 1  # seconds, where trying again helps

    slug = "error"
    title = "Something went wrong"
    status = 500

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        value: Any = None,
        remedy: str | None = None,
        suggestion: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.value = value
        self.remedy = remedy
        self.suggestion = suggestion

    def __str__(self) -> str:
        return self.detail if self.remedy is None else f"{self.detail} {self.remedy}"

    def as_problem(self) -> dict[str, Any]:
        """The body of an RFC 9457 problem (without `instance`)."""
        problem: dict[str, Any] = {
            "type": f"https://synthorax.invalid/errors/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": str(self),
        }
        if self.field is not None:
            problem["errors"] = [
                {
                    "field": self.field,
                    "given": shown(self.value),
                    "allowed": self.remedy or self.detail,
                }
            ]
        if self.suggestion is not None:
            problem["suggestion"] = self.suggestion
        return problem


class InvalidValue(SynthoraxError):
    slug, title, status = "invalid-value", "A value is not allowed", 422

    parts: tuple[InvalidValue, ...] = ()  # each by itself, where several are told at once

    @classmethod
    def of(cls, problems: Sequence[InvalidValue]) -> InvalidValue:
        """One error that tells of all; the only one itself."""
        each = tuple(part for problem in problems for part in problem.parts or (problem,))
        if len(each) == 1:
            return each[0]
        whole = cls(f"{len(each)} values are not allowed. {' '.join(map(str, each))}")
        whole.parts = each
        return whole

    def as_problem(self) -> dict[str, Any]:
        problem = super().as_problem()
        if self.parts:
            told = [part.as_problem().get("errors", []) for part in self.parts]
            problem["errors"] = [error for errors in told for error in errors]
        return problem


class NotFound(SynthoraxError):
    slug, title, status = "not-found", "There is no such thing", 404


class Conflict(SynthoraxError):
    slug, title, status = "conflict", "Not possible in this state", 409


class Unusable(SynthoraxError):
    slug, title, status = "unusable", "Damaged or unknown data on disk", 409


class Busy(SynthoraxError):
    slug, title, status = "busy", "The service is at its bound", 503


class Unavailable(SynthoraxError):
    slug, title, status = "unavailable", "A part of the service is away", 503
