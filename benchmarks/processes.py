"""What a server costs, from /proc (Linux): CPU seconds of a process and all that it started."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")  # a second; 100 as a rule, so a reading is good to 10 ms


def tree(pid: int) -> list[int]:
    """The process and its living descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for process in found:  # grows while it is read
        found.extend(children.get(process, []))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, with that of descendants that have ended."""
    # utime, stime, and cutime, cstime: what children had used when they were waited for.
    return sum(sum(map(int, fields[11:15])) for p in tree(pid) if (fields := _stat(p))) / _TICKS


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from its third field on (the state); empty for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()  # the second field, the name, may hold anything
