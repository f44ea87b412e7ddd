"""Training with differential privacy: what noise a budget needs, and what a step costs.

    python -m benchmarks.dp noise [--batch 128]
    python -m benchmarks.dp speed [--rounds 8] [--threads 2]

noise: multipliers by images that take part, epochs and epsilon, delta 1 / (10 N), one image a
patient; and epsilon of a patient of two.  speed: steps of preset `dp` against the same networks,
batch and loss without privacy, in rounds that alternate, on made-up images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from library.config import RunConfig, resolve
from library.decoded import Decoded
from training.accountant import noise_for, opacus_there, spent_of_patient
from training.batches import Batches
from training.precision import Arithmetic, choose_device, prepare
from training.privacy import throwaway
from training.trainer import new_game, train_step

IMAGES = (500, 1000, 2000, 5000, 20_000)
EPOCHS = (30, 60, 200)
BUDGETS = (1.0, 3.0, 8.0)


def noise_table(batch: int) -> None:
    heads = [f"{e} epochs, ε {b:g}" for e in EPOCHS for b in BUDGETS]
    print(f"opacus {opacus_there()}, RDP accountant, batch {batch}")
    print(f"| N | δ | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    for images in IMAGES:
        delta, rate = 1 / (10 * images), batch / images
        cells = [
            f"{noise_for(budget, rate, epochs * (images // batch), delta):.2f}"
            for epochs in EPOCHS
            for budget in BUDGETS
        ]
        print(f"| {images:,} | {delta:.0e} | {' | '.join(cells)} |", flush=True)
    rate, steps = batch / 2000, 60 * (2000 // batch)
    noise = noise_for(8.0, rate, steps, 5e-5)
    found = [f"{k}: {spent_of_patient(rate, noise, steps, 5e-5, k):.1f}" for k in (1, 2, 3, 5)]
    print(f"2,000 images, 60 epochs, noise {noise:.2f}: epsilon by images a patient", *found)


def stepper(config: RunConfig, device: torch.device) -> Callable[[int], None]:
    levels = np.random.default_rng(0).integers(0, 256, (2000, 64, 64), dtype=np.uint8)
    data = Decoded(levels, np.arange(2000) % 2, ("a", "b"), "", {})
    private = throwaway(config, 2000) if config.privacy.active else None
    how = Arithmetic("float32", not config.privacy.active)  # each in the layout that is its own
    game = new_game(config, 2, device, how, planned=10**7, private=private)
    batches = Batches(data, config, device, private=private)

    def step(number: int) -> None:
        train_step(game, batches.batch(number), config, how)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def speed(rounds: int, threads: int) -> None:
    device = choose_device("auto")
    prepare(device, threads)
    config = resolve("dp", {"seed": 1})
    plain = replace(config, privacy=replace(config.privacy, epsilon=0.0))
    steps = {"dp": stepper(config, device), "without": stepper(plain, device)}
    took: dict[str, list[float]] = {name: [] for name in steps}
    at_once = config.privacy.generator_every  # so that each has its share of generator steps
    for turn in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            for number in range(at_once):
                step(turn * at_once + number)
            if turn:  # the first sets libraries and optimisers up
                took[name].append((time.perf_counter() - began) / at_once)
    whole = statistics.median(took["without"])
    for name, seconds in took.items():
        middle = statistics.median(seconds)
        print(
            f"{name}: {1000 * middle:.0f} ms a step ({1000 * min(seconds):.0f} to "
            f"{1000 * max(seconds):.0f}), {config.batch_size / middle:.0f} images/s, "
            f"{middle / whole:.2f} of a step without"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("noise", "speed"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.what == "noise":
        noise_table(arguments.batch)
    else:
        speed(arguments.rounds, arguments.threads)


if __name__ == "__main__":
    main()
