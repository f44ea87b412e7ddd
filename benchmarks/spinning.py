"""Features on a CPU that others use too: threads that spin while they wait, or sleep.

    OMP_NUM_THREADS=1 python -m benchmarks.spinning [--images 400] [--rounds 3]

The built-in extractor on random images, in one process and in three at once, with ONNX Runtime's
own setting (spin) and ours (sleep), in turn; the features must agree in their bits.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import onnxruntime

from features.extractors import efficientnet_lite0

_OPTIONS: Any = onnxruntime.SessionOptions
SIDE, SEED = 64, 1


class Spinning(_OPTIONS):  # type: ignore[misc]
    """ONNX Runtime's options that leave spinning as it is by default."""

    def add_session_config_entry(self, name: str, value: str) -> None:
        if name != "session.intra_op.allow_spinning":
            super().add_session_config_entry(name, value)


def measured(spin: bool, images: int) -> tuple[float, float, float]:
    """Seconds, seconds of CPU, and the sum of the features."""
    onnxruntime.SessionOptions = Spinning if spin else _OPTIONS  # sessions are made of it
    extractor = efficientnet_lite0()
    levels = np.random.default_rng(SEED).integers(0, 256, (images, SIDE, SIDE), dtype=np.uint8)
    extractor.features(levels[:8])  # the graph is built, the threads are there
    wall, cpu = time.perf_counter(), time.process_time()
    found = extractor.features(levels)
    return time.perf_counter() - wall, time.process_time() - cpu, float(found.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| at once | waiting | seconds each | CPU seconds each | time, of spinning |")
    print("|---|---|---|---|---|")
    for at_once in (1, 3):
        taken: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
        for _ in range(arguments.rounds):
            for spin in (True, False):
                with ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
                    jobs = [pool.submit(measured, spin, arguments.images) for _ in range(at_once)]
                    taken[spin] += [job.result() for job in jobs]
        if len({total for some in taken.values() for _, _, total in some}) != 1:
            sys.exit("the features differ")
        spun = statistics.median(wall for wall, _, _ in taken[True])
        for spin, name in ((True, "spin"), (False, "sleep")):
            wall = statistics.median(each[0] for each in taken[spin])
            cpu = statistics.median(each[1] for each in taken[spin])
            print(
                f"| {at_once} | {name} | {wall:.1f} | {cpu:.1f} | {wall / spun:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
