"""The embedded Valkey for tests that need no whole service."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Self

import redis

from synthorax.local import valkey
from worker.connection import client


class Server:
    """Valkey with its append-only file in a folder; a restart finds what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "v.sock"  # a socket's path has 104 bytes at most
        self.url = f"unix://{self.socket}"
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
        return client(self.url)

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
