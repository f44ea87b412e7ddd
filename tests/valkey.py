"""Valkey for tests that need no whole service: the embedded one, and one as compose starts it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Self

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
        compose = yaml.safe_load((Path(__file__).parent.parent / "docker-compose.yml").read_text())
        program, *words = compose["services"]["valkey"]["command"]
        assert program == "valkey-server"
        return [
            *self._network.prefix,
            valkey.binary(),
            *(self._set(word) for word in words),
            *("--bind", self._address, "--dir", str(self.folder)),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--logfile", str(self.folder / "valkey.log")),
        ]

    def _set(self, word: str) -> str:
        """A word of compose with its variables: our password, defaults for the others."""
        word = re.sub(r"\$\{SYNTHORAX_REDIS_PASSWORD:\?[^}]*\}", self._password, word)
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word)
