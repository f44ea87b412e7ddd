"""The service works with every other machine out of reach, and tries to reach none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.namespaces import watched
from tests.service.conftest import ROOT

_CALL = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.1', 9))"  # noqa: E501
_LOOK_UP = "import socket; socket.getaddrinfo('huggingface.co', 443)"


def test_nothing_is_sent_to_another_machine(tmp_path: Path) -> None:
    with watched(tmp_path) as inside:
        before = inside.sent()
        day = subprocess.run(
            [*inside.prefix, sys.executable, "-m", "tests.service.egress_program", str(tmp_path)],
            cwd=ROOT,
            # As for users: under CI some packages hold their telemetry back.
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert day.returncode == 0, day.stderr[-4000:]
        assert "all is well" in day.stdout
        assert inside.sent() == before
        # What is sent is counted, and so is a question for a name.
        inside.run(sys.executable, "-c", _CALL)
        called = inside.sent()
        assert called > before
        environment = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}
        asked = [*inside.prefix, sys.executable, "-c", _LOOK_UP]
        assert subprocess.run(asked, env=environment, capture_output=True, check=False).returncode
        assert inside.sent() > called
