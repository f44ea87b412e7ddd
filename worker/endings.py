"""Why a trainer ended, in words that name the remedy."""

from __future__ import annotations

from typing import Any

from library.errors import SynthoraxError


class OutOfMemory(SynthoraxError):
    slug, title, status = "out-of-memory", "The memory is too small", 500


class TimeLimit(SynthoraxError):
    slug, title, status = "time-limit", "The job has had its time", 500


def reason(code: int) -> str:
    return f"its trainer ended by signal {-code}" if code < 0 else f"its trainer ended with {code}"


def out_of_memory(config: dict[str, Any], limit_mb: int, fits: int | None) -> dict[str, Any]:
    """The problem of a trainer that was killed for want of memory; limit in MiB, 0: none set."""
    size = config["batch_size"]
    limit = f"SYNTHORAX_TRAIN_MEMORY_MB={limit_mb}" if limit_mb else "the machine's memory"
    if fits is not None and fits < size:
        remedy = f"A batch of {fits} would fit, measured with this run's networks: "
        remedy += f'clone the job with {{"config": {{"batch_size": {fits}}}}}.'
    else:
        remedy = "No batch size fits: use smaller networks or a lower resolution, or allow more."
    problem = OutOfMemory(
        f"A batch of {size} images of {config['resolution']} pixels did not fit in {limit}.",
        field="config.batch_size",
        value=size,
        remedy=remedy,
    ).as_problem()
    if fits is not None and fits < size:
        problem["suggestion"] = {"batch_size": fits}
    return problem


def time_limit(ran: float, limit: float) -> dict[str, Any]:
    """The problem of a job that was stopped, with a checkpoint, after its time (s)."""
    return TimeLimit(
        f"The job ran for {ran:.0f} s and was stopped at its limit of {limit:.0f} s.",
        field="max_seconds",
        value=limit,
        remedy="Its checkpoint is kept: POST /train-jobs/{id}/resume goes on from it, with as "
        "much time again.",
    ).as_problem()
