"""The benchmarks' client: wrk, which posts requests for pictures as fast as they are answered.

    python -m benchmarks.wrk http://127.0.0.1:8000/generate [--connections 64] [--seconds 5]

wrk is a C program of one thread for each --threads, so that it leaves the machine to the server.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".lua")
MODEL = "chest-xray-dcgan@1"
_TIMEOUT = 30  # seconds; longer requests are errors


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw."""

    requests: int  # that were answered, also with an error
    errors: int  # connections that could not be made or broke, and requests without an answer
    non_2xx: int  # answers with status 400 and above; wrk counts a redirect as a success
    seconds: float
    rps: float
    p50_ms: float  # as measured: see wrk.lua for what wrk itself would say
    p99_ms: float
    max_ms: float
    bytes: int  # received, with headers


def run(
    url: str,
    connections: int,
    seconds: int,
    images: int = 1,
    accept: str = "image/png",
    threads: int = 1,
    model: str = MODEL,
    key: str = "",
) -> Load:
    """POST requests for `images` pictures each, on `connections` that never wait, for `seconds`.

    Every request has seeds of its own, the same ones in each run.  Raises RuntimeError without
    wrk, and when wrk cannot connect.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is not installed: apt-get install wrk")
    command = [
        *(program, f"--threads={threads}", f"--connections={connections}"),
        *(f"--duration={seconds}s", f"--timeout={_TIMEOUT}s", f"--script={SCRIPT}"),
        *(url, "--", model, str(images), accept, str(connections), key),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0 or not lines:
        raise RuntimeError(f"wrk failed: {(result.stderr or result.stdout).strip()}")
    seen = json.loads(lines[-1])
    # The latencies are those of the answers, each once: see `measured` in wrk.lua.
    assert seen["recorded"] <= seen["requests"] <= seen["recorded"] + seen["errors"], seen
    duration = seen["microseconds"] / 1e6
    return Load(
        requests=seen["requests"],
        errors=seen["errors"],
        non_2xx=seen["non_2xx"],
        seconds=duration,
        rps=seen["requests"] / duration,
        p50_ms=seen["p50"] / 1e3,
        p99_ms=seen["p99"] / 1e3,
        max_ms=seen["max"] / 1e3,
        bytes=seen["bytes"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1, help="a request")
    parser.add_argument("--accept", default="image/png")
    parser.add_argument("--threads", type=int, default=1, help="of wrk")
    parser.add_argument("--model", default=MODEL)
    print(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
