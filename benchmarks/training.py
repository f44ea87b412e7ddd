"""Images per second of the trainer against a plain PyTorch DCGAN loop, at equal work in one run.

    python -m benchmarks.training --data FOLDER [--threads 2] [--rounds 5] [--steps 6]

FOLDER holds class folders of images.  Both train the paper's networks at 64 pixels and batch 50;
the rounds alternate, so that a machine whose speed drifts is fair to both.  On a GPU it also
reports the share of the card's bf16 peak (--peak-tflops).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import plain_dcgan
from library.config import resolve
from library.datasets.opened import open_dataset
from library.decoded import decode
from training.batches import Batches
from training.precision import choose_device, prepare
from training.run import probe
from training.trainer import new_game, train_step

# Convolutions of one image in one step.  A forward pass of either network is 0.204 GFLOP, its
# backward pass twice that.  Generator: 3 units; discriminator on real and on fake: 3 each; in the
# generator's step forward and the gradient of its input alone: 2.
STEP_GFLOP = 0.204 * (3 + 3 + 3 + 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="a round and contender")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="bf16 peak of the GPU")
    arguments = parser.parse_args()
    device = choose_device(os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto"))
    config = resolve("paper", {"seed": 1})
    batch = config.batch_size

    with tempfile.TemporaryDirectory() as cache:
        with open_dataset(Path(cache), arguments.data, lambda *_: None) as dataset:
            data = decode(dataset, 64, "crop", Path(cache) / "decoded")
        torch.set_num_threads(arguments.threads)
        # The rival first meets torch as its author's user would; our settings come after.
        rival_steps = plain_dcgan.steps(arguments.data, batch, 2, device)
        next(rival_steps)
        prepare(device, arguments.threads)
        arithmetic, speeds = probe(config, data, device)
        batches = Batches(data, config, device)
        game = new_game(config, len(data.labels), device, arithmetic)
        kept = batches.batch(0)
        counter = iter(range(10**9))

        def synchronise() -> None:
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        def ours() -> None:
            train_step(game, batches.batch(next(counter)), config, arithmetic)

        def in_memory() -> None:
            train_step(game, kept, config, arithmetic)

        def rival() -> None:
            next(rival_steps)

        contenders: dict[str, Callable[[], None]] = {
            "plain PyTorch DCGAN loop, DataLoader over files": rival,
            "this trainer": ours,
            "this trainer, batch already in memory": in_memory,
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for step in contenders.values():  # warm-up
            step()
        for _ in range(arguments.rounds):
            for name, step in contenders.items():
                synchronise()
                start = time.perf_counter()
                for _ in range(arguments.steps):
                    step()
                synchronise()
                rates[name].append(arguments.steps * batch / (time.perf_counter() - start))

        pulls = 200
        start = time.perf_counter()
        for _ in range(pulls):
            batches.batch(next(counter))
        synchronise()
        input_ms = 1000 * (time.perf_counter() - start) / pulls

    print(f"device {device.type}, {arguments.threads} threads, torch {torch.__version__}")
    print("arithmetic probe, images/s:", ", ".join(f"{k} {v:g}" for k, v in speeds.items()))
    print(
        f"\n| {arguments.rounds} interleaved rounds of {arguments.steps} steps | images/s, median"
        " (min to max) | over the plain loop, median by round |"
    )
    print("|---|---|---|")
    first = rates["plain PyTorch DCGAN loop, DataLoader over files"]
    for name, values in rates.items():
        ratio = statistics.median(v / r for v, r in zip(values, first, strict=True))
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"| {name} | {statistics.median(values):.1f} ({spread}) | {ratio:.2f} |")
    step_ms = 1000 * batch / statistics.median(rates["this trainer"])
    print(
        f"\nOne batch from the memory map: {input_ms:.2f} ms, {100 * input_ms / step_ms:.2f}% of "
        f"a step of {step_ms:.0f} ms."
    )
    if arguments.peak_tflops:
        done = statistics.median(rates["this trainer"]) * STEP_GFLOP / 1000
        print(f"{done:.1f} TFLOP/s, {100 * done / arguments.peak_tflops:.1f}% of the bf16 peak.")


if __name__ == "__main__":
    main()
