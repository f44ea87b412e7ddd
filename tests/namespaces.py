"""Network namespaces: processes with addresses and routes of their own, on one machine.

They need root and Linux; where that is not given, tests that use them are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TOOLS = ("ip", "unshare", "nsenter")
OUTSIDE = "veth-out"
_NOWHERE = "192.0.2.53"  # TEST-NET-1: no machine has it


class Namespace:
    """Lives as long as the process that holds it."""

    def __init__(self, holder: subprocess.Popen[bytes]) -> None:
        self.holder = holder
        self.prefix = ("nsenter", "--net", "--mount", "--target", str(holder.pid))

    def run(self, *command: str) -> str:
        """A command inside; its stdout.  Raises CalledProcessError."""
        done = subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True)
        return done.stdout

    def sent(self) -> int:
        """Packets that something inside has sent to other machines."""
        return int(self._link(OUTSIDE)["stats64"]["tx"]["packets"])

    def address(self, interface: str) -> str:
        """Of the link layer."""
        return str(self._link(interface)["address"])

    def _link(self, interface: str) -> dict[str, Any]:
        text = self.run("ip", "-json", "-statistics", "link", "show", "dev", interface)
        (found,) = json.loads(text)
        return dict(found)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """One with loopback alone."""
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        pytest.skip("network namespaces need root, iproute2 and util-linux")
    holder = subprocess.Popen(["unshare", "--net", "--mount", "sleep", "infinity"])
    try:
        own = Path("/proc/self/ns/net").readlink()
        # unshare becomes sleep in its new namespace after a moment.
        deadline = time.monotonic() + 10
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
            assert holder.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        made = Namespace(holder)
        made.run("ip", "link", "set", "lo", "up")
        yield made
    finally:
        holder.kill()
        holder.wait()


@contextmanager
def watched(folder: Path) -> Iterator[Namespace]:
    """One with a route to everywhere that leads into nothing, where packets are counted."""
    with namespace() as made:
        made.run("ip", "link", "add", OUTSIDE, "type", "veth", "peer", "name", "veth-end")
        for interface in (OUTSIDE, "veth-end"):
            # Else the kernel itself would send, looking for neighbours.
            made.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
            made.run("ip", "link", "set", interface, "up")
        made.run("ip", "addr", "add", "10.99.0.1/24", "dev", OUTSIDE)
        far = made.address("veth-end")
        made.run("ip", "neigh", "add", "10.99.0.2", "lladdr", far, "dev", OUTSIDE)
        made.run("ip", "route", "add", "default", "via", "10.99.0.2")
        names = folder / "resolv.conf"
        names.write_text(f"nameserver {_NOWHERE}\n")
        made.run("mount", "--bind", str(names), "/etc/resolv.conf")
        yield made
