"""Two replicas of the API behind nginx against one, each with one core of its own.

    python -m benchmarks.replicas [--rounds 5] [--seconds 4] [--connections 16]

nginx runs with deploy/nginx.conf in both cases, and in each round one replica and two are measured
one after the other, in turns as to which comes first.  On a machine of two cores nginx and the
client (wrk) share them with the replicas: beside one replica they have the other core to
themselves, so what is seen is less than what more machines would bring.  Needs wrk, nginx, taskset.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from benchmarks import wrk
from tests.service.conftest import ROOT, free_port, wait_until
from tests.service.nginx import Nginx

# Images a request, and the form of the answer.
COLUMNS = ((1, "image/png"), (16, "application/zip"))


@contextmanager
def replica(core: int, data_dir: Path) -> Iterator[int]:
    """An API on one core; its port."""
    port = free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SYNTHORAX_")},
        "SYNTHORAX_DATA_DIR": str(data_dir),
        "SYNTHORAX_PORT": str(port),
        "SYNTHORAX_DEVICE": "cpu",
        "SYNTHORAX_CPU_THREADS": "1",
    }
    command = ["taskset", "--cpu-list", str(core), sys.executable, "-m", "app"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_until(lambda: _loaded(f"http://127.0.0.1:{port}"))
        yield port
    finally:
        process.terminate()
        process.wait()


def _loaded(url: str) -> bool:
    try:
        body = {"model": wrk.MODEL, "seed": 1}
        return httpx.post(f"{url}/generate", json=body, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    print(
        "| a request | one replica, images/s | two, images/s | ratio | p99 ms, one, two | failed |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        data_dir = folder / "data"
        ports = [stack.enter_context(replica(core, data_dir)) for core in cores]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        fronts = {
            count: stack.enter_context(Nginx(folder / f"nginx-{count}", addresses[:count]))
            for count in (1, 2)
        }
        for images, accept in COLUMNS:
            seen: dict[int, list[wrk.Load]] = {1: [], 2: []}
            for number in range(arguments.rounds):
                for count in (1, 2) if number % 2 else (2, 1):
                    url = f"{fronts[count].url}/generate"
                    load = wrk.run(url, arguments.connections, arguments.seconds, images, accept)
                    seen[count].append(load)
            rates = {count: [load.rps * images for load in seen[count]] for count in seen}
            ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
            tails = [statistics.median(load.p99_ms for load in seen[count]) for count in seen]
            failed = sum(load.errors + load.non_2xx for count in seen for load in seen[count])
            print(
                f"| {images} as {accept} | {_told(rates[1])} | {_told(rates[2])} "
                f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) "
                f"| {tails[0]:.0f}, {tails[1]:.0f} | {failed} |"
            )


def _told(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


if __name__ == "__main__":
    main()
