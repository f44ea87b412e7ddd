"""The processes of a service under test, from /proc."""

from __future__ import annotations

from pathlib import Path

from tests.service.conftest import Service


def api_of(service: Service) -> int:
    """The process of the API."""
    wanted = f"SYNTHORAX_DATA_DIR={service.data_dir}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            mine = wanted in (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended while we looked
            continue
        if mine and b"app" in command:
            return int(entry.name)
    raise AssertionError("there is no API")


def private_bytes(pid: int) -> int:
    """What a process holds for itself alone."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")
    )
