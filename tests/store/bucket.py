"""A real S3 server on loopback (moto's), which can be away, and remembers meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Self

from tests.service.conftest import free_port

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE00000TEST",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests/that+must=not-be-told",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Whatever else is configured on this machine is not for tests.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "xrays"
# One request at a time, so that "create, unless it is there" is one step, as it is in S3.
_PROGRAM = """
import logging, sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = DomainDispatcherApplication(create_backend_app)
make_server("127.0.0.1", int(sys.argv[1]), app, threaded=False).serve_forever()
"""


class Wire:
    """What lies between a bucket and its users, and can be cut."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: set[socket.socket] = set()
        self.whole = threading.Event()
        self.whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.whole.clear()
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            if not self.whole.is_set():
                end.close()
                continue
            other = socket.create_connection(("127.0.0.1", self._behind))
            for source, target in ((end, other), (other, end)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        self._ends.add(source)
        with source, contextlib.suppress(OSError):
            while part := source.recv(2**16):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)
        self._ends.discard(source)


class Bucket:
    """An S3 server in a process of its own, with one bucket."""

    def __init__(self) -> None:
        self._behind = free_port()
        self.url = f"s3://{BUCKET}/synthorax"
        self._process: subprocess.Popen[bytes] | None = None
        self._wire = Wire(self._behind)

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", _PROGRAM, str(self._behind)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self._behind}/{BUCKET}",
                method="PUT",
                headers={
                    "Authorization": f"AWS4-HMAC-SHA256 Credential={KEYS['AWS_ACCESS_KEY_ID']}"
                    "/20260101/us-east-1/s3/aws4_request"
                },
            )
            try:
                urllib.request.urlopen(request, timeout=5)  # noqa: S310
                return self
            except urllib.error.URLError:
                time.sleep(0.1)
            assert time.monotonic() < deadline, "the S3 server does not answer"

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._wire.close()
        self._process.kill()
        self._process.wait()

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._wire.port}"}

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Every connection is cut, and so is each that is tried."""
        self._wire.cut()
        try:
            yield
        finally:
            self._wire.whole.set()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections and does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
