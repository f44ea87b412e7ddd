"""Waiting, and blocking work.  The twin of `_async/running.py`, by hand."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

__all__ = ["blocking", "sleep"]


def blocking(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work."""
    return work(*arguments)
