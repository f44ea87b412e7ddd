"""`python -m training run … --processes N`: torchrun as a child, as if it were one trainer.

stdin (the lifeline) and stdout are rank 0's; SIGTERM is passed on; the exit status is rank 0's,
which torchrun would turn into 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

STATUS_FILE = "SYNTHORAX_STATUS_FILE"  # where rank 0 leaves its exit status


def launch(request: Path, processes: int, lifeline: bool) -> int:
    """Run a request in so many processes; returns the exit status."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=0"]
    command += [f"--nproc-per-node={processes}", "-m", "training", "run", str(request)]
    with tempfile.TemporaryDirectory() as folder:
        status = Path(folder) / "status"
        environment = {**os.environ, STATUS_FILE: str(status), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command + ["--lifeline"] * lifeline, env=environment) as torchrun:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: _pass_on(torchrun))
            code = torchrun.wait()
        with contextlib.suppress(OSError, ValueError):
            return int(status.read_text())
        return code or 1  # rank 0 was killed before it could say anything


def leave_status(code: int) -> None:
    """What rank 0 does at its end."""
    path = os.environ.get(STATUS_FILE)
    if path is not None and os.environ.get("RANK") == "0":
        Path(path).write_text(str(code))


def _pass_on(torchrun: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        torchrun.send_signal(signal.SIGTERM)
