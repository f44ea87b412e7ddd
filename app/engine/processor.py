"""The class of a CPU: what decides which kernels, and so which bits, it computes."""

from __future__ import annotations

import platform


def cpu_class() -> str:
    """Machine and the instruction sets by which libraries choose kernels."""
    wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "avx_vnni", "amx_tile", "sve", "asimd")
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            lines = [line for line in file if line.lower().startswith(("flags", "features"))]
        flags = set(" ".join(lines).split())
    except OSError:  # not Linux
        flags = set()
    return " ".join([platform.machine(), *(name for name in wanted if name in flags)])
