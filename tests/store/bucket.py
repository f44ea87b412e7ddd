"""A real S3 server on loopback (moto's), which can be away, and remembers meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
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


class Bucket:
    """An S3 server in a process of its own, with one bucket."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"s3://{BUCKET}/synthorax"
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", _PROGRAM, str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/{BUCKET}",
                method="PUT",
                headers={
                    "Authorization": f"AWS4-HMAC-SHA256 Credential={KEYS['AWS_ACCESS_KEY_ID']}"
                    "/20260101/us-east-1/s3/aws4_request"
                },
            )
            try:
                urllib.request.urlopen(request, timeout=5)  # noqa: S310
                return self
            except urllib.error.URLError as error:
                assert time.monotonic() < deadline, error
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Stopped, as a machine that hangs: it takes connections and does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
