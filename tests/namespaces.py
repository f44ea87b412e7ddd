"""Network namespaces: processes with addresses and routes of their own, on one machine.

They need root and Linux; where that is not given, tests that use them are skipped.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

TOOLS = ("ip", "unshare", "nsenter")
OUTSIDE = "veth-out"
_NOWHERE = "192.0.2.53"  # TEST-NET-1: no machine has it
_SUBNET = "10.98.0"
_NOBODY = "02:00:00:00:00:99"  # an address of the link layer that no interface has
_CLONE_NEWNET = 0x40000000  # linux/sched.h


class Namespace:
    """Lives as long as the process that holds it."""

    def __init__(self, holder: subprocess.Popen[bytes]) -> None:
        self.holder = holder
        self.prefix = ("nsenter", "--net", "--mount", "--target", str(holder.pid))

    def run(self, *command: str) -> str:
        """A command inside; its stdout.  Raises CalledProcessError."""
        done = subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True)
        return done.stdout

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread's new sockets, threads and processes are of this network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.holder.pid}/ns/net") as it:
            assert libc.setns(it.fileno(), _CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert libc.setns(own.fileno(), _CLONE_NEWNET) == 0

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


class Network:
    """Machines with an address each on one bridge, as containers have them."""

    def __init__(self, hub: Namespace, members: ExitStack) -> None:
        self.hub, self._members = hub, members
        self.address = f"{_SUBNET}.1"  # of the hub, which clients and proxies enter
        self._count = 1
        hub.run("ip", "link", "add", "bridge", "type", "bridge")
        hub.run("ip", "addr", "add", f"{self.address}/24", "dev", "bridge")
        hub.run("ip", "link", "set", "bridge", "up")

    def join(self) -> Member:
        """A new machine."""
        made = self._members.enter_context(namespace())
        self._count += 1
        port, number = f"port{self._count}", str(made.holder.pid)
        self.hub.run("ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", number)
        self.hub.run("ip", "link", "set", port, "master", "bridge", "up")
        address = f"{_SUBNET}.{self._count}"
        made.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        made.run("ip", "link", "set", "eth0", "up")
        return Member(made, address)


class Member:
    """One machine of a network."""

    def __init__(self, inside: Namespace, address: str) -> None:
        self.inside, self.address = inside, address

    def cut(self, other: Member) -> None:
        """What either sends to the other is lost, without a word, as from a pulled cable."""
        for one, far in ((self, other), (other, self)):
            words = (far.address, "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent")
            one.inside.run("ip", "neigh", "replace", *words)

    def heal(self, other: Member) -> None:
        for one, far in ((self, other), (other, self)):
            one.inside.run("ip", "neigh", "del", far.address, "dev", "eth0")


@contextmanager
def bridged() -> Iterator[Network]:
    with namespace() as hub, ExitStack() as members:
        yield Network(hub, members)
