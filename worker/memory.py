"""What memory a trainer and its children use, and whether the kernel has ended one for it."""

from __future__ import annotations

import contextlib
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def tree_bytes(root: int) -> int:
    """Private and shared-memory bytes of a process and all below it; 0 where there is no /proc.

    Mapped files (the decoded dataset, the libraries) are left out: the kernel can drop them.
    """
    parents = {}
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # "pid (name) state ppid …": a name may hold spaces and brackets.
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(after_name[1])
    family, more = {root}, True
    while more:
        found = {pid for pid, parent in parents.items() if parent in family} - family
        family |= found
        more = bool(found)
    return sum(_own_bytes(pid) for pid in family)


def _own_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def kills_by_kernel() -> int:
    """How many processes of this control group the kernel has ended for want of memory."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        own = (_PROC / "self" / "cgroup").read_text().splitlines()
        for line in own:
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                version_1 = controllers == "memory"
                folder = (_CGROUPS / "memory" if version_1 else _CGROUPS) / path.lstrip("/")
                name = "memory.oom_control" if version_1 else "memory.events"
                file = folder / name
                if not file.is_file():  # in a container the group is the root of what is seen
                    file = (_CGROUPS / "memory" if version_1 else _CGROUPS) / name
                for entry in file.read_text().splitlines():
                    key, _, value = entry.partition(" ")
                    if key == "oom_kill":
                        return int(value)
    return 0
