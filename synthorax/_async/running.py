"""Waiting, and blocking work beside the event loop.  `_sync/running.py` is its twin, by hand."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import Callable
from typing import Any

__all__ = ["blocking", "sleep"]


async def blocking(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work that would hold the event loop."""
    return await asyncio.to_thread(work, *arguments)
