"""Seconds from the command `synthorax serve` to sixteen pictures of the bundled model.

    python -m benchmarks.start [--rounds 5]

Each round is a new data folder: Valkey, worker and API start from nothing.  The named rival is the
least that any such service must do: a Python that imports FastAPI and ONNX Runtime, and ends.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.service.conftest import free_port

REQUEST = {"count": 16, "seed": 42}


def until_pictures(folder: str) -> float:
    port = free_port()
    environment = {
        **os.environ,
        "SYNTHORAX_DATA_DIR": folder,
        "SYNTHORAX_PORT": str(port),
    }
    command = [str(Path(sys.executable).with_name("synthorax")), "serve"]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/generate", json=REQUEST, timeout=60)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            answer.raise_for_status()
            assert len(answer.json()["images"]) == 16
            return time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def imports_alone() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import fastapi, uvicorn, onnxruntime"], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ours, floor = [], []
    for _ in range(rounds):
        floor.append(imports_alone())
        with tempfile.TemporaryDirectory() as folder:
            ours.append(until_pictures(folder))
    print(
        f"| {rounds} interleaved rounds | seconds, median (min to max) | over the imports alone |"
    )
    print("|---|---|---|")
    for name, values in (("imports alone", floor), ("`synthorax serve` to 16 pictures", ours)):
        ratio = statistics.median(v / f for v, f in zip(values, floor, strict=True))
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"| {name} | {statistics.median(values):.2f} ({spread}) | {ratio:.2f} |")


if __name__ == "__main__":
    main()
