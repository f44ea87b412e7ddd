"""Other servers of the same work: mosec, LitServe, and a FastAPI endpoint as first written.

    python -m benchmarks.rivals.mosec_server --port 8001 [--threads 1] [--null]

and so with litserve_server, litserve_repaired_server and naive_server.  POST /generate with
{"model": …, "seed": N} answers with that seed's PNG.  Each is given what makes it fastest at this
work with one process for the model; needs `pip install mosec litserve`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import httpx

Kind = Literal["synthorax", "mosec", "litserve", "litserve_repaired", "naive"]
KINDS: tuple[Kind, ...] = ("synthorax", "mosec", "litserve", "litserve_repaired", "naive")
HOST = "127.0.0.1"
PATH = "/generate"
REFERENCE = "chest-xray-dcgan@1"
BATCH, NULL_BATCH = 16, 64  # of the servers that batch, ours included
_REPOSITORY = Path(__file__).resolve().parents[2]
_START_SECONDS, _STOP_SECONDS = 60.0, 5.0


@dataclass(frozen=True)
class Arguments:
    """What a rival is started with."""

    port: int
    reference: str
    threads: int
    null: bool

    @property
    def max_batch(self) -> int:
        return NULL_BATCH if self.null else BATCH


def arguments(description: str | None) -> Arguments:
    """From the command line of a rival, or of a process that it spawned: those get it too."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--reference", default=REFERENCE)
    parser.add_argument("--threads", type=int, default=1, help="that share a batch")
    parser.add_argument("--null", action="store_true", help="the model costs nothing")
    return Arguments(**vars(parser.parse_args()))


@contextmanager
def start(
    kind: Kind, port: int, reference: str, threads: int, null: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """A rival that has answered a request with a PNG; its whole process group ends with the block.

    Raises RuntimeError, with what it wrote, when it ends or does not answer.
    """
    command = [sys.executable, "-m", f"benchmarks.rivals.{kind}_server", f"--port={port}"]
    command += [f"--reference={reference}", f"--threads={threads}", *(["--null"] if null else [])]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=_REPOSITORY, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _until_picture(kind, process, port, reference, log)
            yield process
        finally:
            _end(process)


def _until_picture(
    kind: Kind, process: subprocess.Popen[bytes], port: int, reference: str, log: IO[bytes]
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    problem = ""
    while process.poll() is None and time.monotonic() < deadline:
        try:
            answer = httpx.post(
                f"http://{HOST}:{port}{PATH}",
                json={"model": reference, "seed": 1},
                headers={"Accept": "image/png"},
                timeout=5,
            )
        except httpx.TransportError as error:
            problem = repr(error)
        else:
            if answer.status_code == 200 and answer.content.startswith(b"\x89PNG"):
                return
            problem = f"{answer.status_code} {answer.content[:200]!r}"
        time.sleep(0.1)
    log.seek(0)
    written = log.read().decode(errors="replace")[-2000:]
    raise RuntimeError(f"{kind} does not answer on port {port}: {problem}\n{written}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, so that temporary folders are removed, then SIGKILL for whoever is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
