"""The processes of a service under test, from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.service.conftest import Service, wait_until


def processes_of(service: Service) -> dict[int, list[bytes]]:
    """Every process of a service: its command."""
    wanted = f"SYNTHORAX_DATA_DIR={service.data_dir}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            mine = wanted in (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended while we looked
            continue
        if mine:
            found[int(entry.name)] = command
    return found


def api_of(service: Service) -> int:
    """The process of the API."""
    for pid, command in processes_of(service).items():
        if b"app" in command:
            return pid
    raise AssertionError("there is no API")


def kill_all(service: Service) -> None:
    """As when the machine is lost: all at once, and none says good-bye."""

    def gone() -> bool:
        left = processes_of(service)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(gone)
    if service.process is not None:
        service.process.communicate()  # closes its pipes


def private_bytes(pid: int) -> int:
    """What a process holds for itself alone."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")
    )
