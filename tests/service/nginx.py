"""nginx with deploy/nginx.conf: addresses of this machine instead of compose's names."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.service.conftest import ROOT, WAIT_SECONDS, free_port, wait_until

_REPLICAS = "server api:8000 resolve max_fails=0;"
_RESOLVER = "resolver 127.0.0.11 valid=5s;"


def configuration(folder: Path, listen: str, replicas: Sequence[str]) -> str:
    """deploy/nginx.conf for replicas at host:port; what it writes lies in a folder."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    servers = "".join(f"server {each} max_fails=0; " for each in replicas)
    for old, new in (
        (_REPLICAS, servers),
        (_RESOLVER, ""),  # addresses are no names
        ("listen 8080;", f"listen {listen};"),
        ("/tmp/", f"{folder}/"),  # noqa: S108
    ):
        assert old in text
        text = text.replace(old, new)
    return text


class Nginx:
    """In front of replicas, on a port of this machine or of a network."""

    def __init__(
        self, folder: Path, replicas: Sequence[str], host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:  # fmt: skip
        program = shutil.which("nginx")
        if program is None:
            pytest.skip("nginx is not installed")
        folder.mkdir()
        self.folder = folder
        self.port = free_port()
        self._place = (host, self.port)
        self.url = f"http://{host}:{self.port}"
        file = folder / "nginx.conf"
        file.write_text(configuration(folder, f"{host}:{self.port}", replicas))
        # Root's nginx would become a user that may not enter our folder.
        globals_ = "daemon off; user root;"
        self.command = [*prefix, program, "-p", str(folder), "-c", str(file), "-g", globals_]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        checked = subprocess.run([*self.command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        with (self.folder / "errors").open("ab") as errors:  # a line for each request to the dead
            self.process = subprocess.Popen(self.command, stderr=errors)
        wait_until(self._listens)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_SECONDS)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "errors").read_text()
        try:
            socket.create_connection(self._place, timeout=5).close()
        except ConnectionError:
            return False
        return True

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False
