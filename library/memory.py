"""What memory processes use, how much there is, and what to say when it was too little."""

from __future__ import annotations

import contextlib
from pathlib import Path

from library.errors import SynthoraxError

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


class OutOfMemory(SynthoraxError):
    slug, title, status = "out-of-memory", "The memory is too small", 500


def out_of_memory(size: int, resolution: int, limit: str, fits: int | None) -> OutOfMemory:
    """A batch of `size` images was too much for `limit`.

    fits: what would not be; 0: none; None: that is not known.
    """
    smaller = fits if fits and fits < size else None
    if fits is None:
        remedy = f"What fits took too long to measure: try a batch of {max(2, size // 2)}, "
        remedy += "smaller networks or a lower resolution, or allow more."
    elif smaller is not None:
        remedy = f"A batch of {smaller} would fit, measured with this run's networks: "
        remedy += f'clone the job with {{"config": {{"batch_size": {smaller}}}}}.'
    else:
        remedy = "No batch size fits: use smaller networks or a lower resolution, or allow more."
    return OutOfMemory(
        f"A batch of {size} images of {resolution} pixels did not fit in {limit}.",
        field="config.batch_size",
        value=size,
        remedy=remedy,
        suggestion=None if smaller is None else {"batch_size": smaller},
    )


def available() -> int:
    """Bytes that this machine, or this container, can still give; 0 where it does not tell."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # a container of cgroup 2 with a limit
        limit = int((_CGROUPS / "memory.max").read_text())
        found.append(max(0, limit - int((_CGROUPS / "memory.current").read_text())))
    return min(found, default=0)


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
    return sum(own_bytes(pid) for pid in family)


def own_bytes(pid: int | str = "self") -> int:
    """Private and shared-memory bytes of one process; 0 where there is no /proc."""
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
