"""Locks between processes: an flock that ends with the last process that holds its handle."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock on a file for the block, after waiting for whoever has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def hold(path: Path) -> int | None:
    """Lock a file (made if it is missing); its open handle, or None while another holds it.

    The lock ends when the handle, and every copy that a child inherited, is closed.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
