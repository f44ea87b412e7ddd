"""Local commands need the application, which the client's wheel does not bring."""

from __future__ import annotations

from importlib.util import find_spec

from synthorax.errors import SynthoraxError


def installed(*floors: str) -> None:
    """Raise SynthoraxError where a part of the application is not installed."""
    missing = [name for name in floors if find_spec(name) is None]
    if missing:
        raise SynthoraxError(
            f"This command runs the service itself, and {', '.join(missing)} is not installed.",
            "Run it from the repository (make run) or in the container image.",
        )
