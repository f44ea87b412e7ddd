"""Valkey for tests that need no whole service: the embedded one, and one as compose starts it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

import redis
import yaml

from synthorax.local import valkey
from tests.namespaces import Namespace
from worker.connection import client


class Server:
    """Valkey with its append-only file in a folder; a restart finds what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "v.sock"  # a socket's path has 104 bytes at most
        self.url = self.local = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        handle = valkey.lock(self.folder)
        self.process = subprocess.Popen(self.command(), pass_fds=(handle,))
        os.close(handle)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, "Valkey has ended"
            assert time.monotonic() < deadline, "Valkey does not answer"
            time.sleep(0.02)

    def command(self) -> list[str]:
        return valkey.command(self.folder, self.socket)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self) -> redis.Redis:
        return client(self.local)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Listening(Server):
    """With the command of docker-compose.yml and a password, on an address of a network.

    This machine's side of the network cannot reach it there: `local` is a socket in its folder.
    """

    def __init__(self, folder: Path, address: str, password: str, network: Namespace) -> None:
        super().__init__(folder)
        self._address, self._password, self._network = address, password, network
        self.url = f"redis://:{password}@{address}:6379/0"
        self.local = f"unix://:{password}@{self.socket}"

    def command(self) -> list[str]:
        return [
            *self._network.prefix,
            valkey.binary(),
            *composed(self._password),
            *("--bind", self._address, "--dir", str(self.folder)),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--logfile", str(self.folder / "valkey.log")),
        ]


class Confined(Server):
    """As docker-compose.yml starts it: its command, its user, its capabilities and no others.

    The folder has to be one that other users reach.
    """

    def __init__(self, folder: Path, program: Path) -> None:
        super().__init__(folder)
        self._program = program
        self._password = token_hex(16)
        self.local = f"unix://:{self._password}@{self.socket}"

    def command(self) -> list[str]:
        service = _service()
        user, _, group = str(service.get("user", "0:0")).partition(":")
        capabilities = ",".join(
            ["-all", *(f"+{each.lower()}" for each in service.get("cap_add", []))]
        )
        return [
            *("setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"),
            *(f"--bounding-set={capabilities}", "--inh-caps=-all"),
            # The image's entry point sets this.
            *("sh", "-c", 'umask 0077; exec "$@"', "sh"),
            str(self._program),
            *composed(self._password),
            *("--port", "0", "--dir", str(self.folder), "--unixsocket", str(self.socket)),
        ]


def composed(password: str) -> list[str]:
    """The words of compose's command with its variables: a password, defaults for the others."""
    program, *words = _service()["command"]
    assert program == "valkey-server"
    words = [re.sub(r"\$\{SYNTHORAX_REDIS_PASSWORD:\?[^}]*\}", password, word) for word in words]
    return [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in words]


def _service() -> dict[str, Any]:
    compose = yaml.safe_load((Path(__file__).parent.parent / "docker-compose.yml").read_text())
    found: dict[str, Any] = compose["services"]["valkey"]
    return found
