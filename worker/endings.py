"""Why a trainer ended, in words that name the remedy."""

from __future__ import annotations

from typing import Any

from library.errors import SynthoraxError


class TimeLimit(SynthoraxError):
    slug, title, status = "time-limit", "The job has had its time", 500


def reason(code: int) -> str:
    return f"its trainer ended by signal {-code}" if code < 0 else f"its trainer ended with {code}"


def time_limit(ran: float, limit: float) -> dict[str, Any]:
    """The problem of a job that was stopped, with a checkpoint, after its time (s)."""
    return TimeLimit(
        f"The job ran for {ran:.0f} s and was stopped at its limit of {limit:.0f} s.",
        field="max_seconds",
        value=limit,
        remedy="Its checkpoint is kept: POST /train-jobs/{id}/resume goes on from it, with as "
        "much time again.",
    ).as_problem()
