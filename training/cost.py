"""What a run will cost on this machine: a few seconds of its own steps, timed.

On made-up images, so that nothing is decoded first.  A discriminator whose parts join later is
timed in each of its phases.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from library.config import RunConfig
from library.decoded import Decoded
from library.memory import own_bytes
from training.batches import Batch, Batches, steps_per_epoch
from training.captured import stepper, steps_to_settle
from training.precision import Arithmetic, fastest
from training.privacy import throwaway
from training.trainer import Game, new_game, train_step

SECONDS = 30.0
_IMAGES = 512  # of the made-up set
_FEWEST = 3  # turns, where that takes no longer than asked


def cost(
    config: RunConfig, images: int, classes: int, device: torch.device, seconds: float = SECONDS
) -> dict[str, Any]:
    """Seconds of the whole run, images/s, and the peak of memory, of `seconds` of its steps or all.

    images: of the dataset's train split; classes: its labels.  Raises InvalidValue when they do
    not fill a batch.
    """
    planned = config.epochs * steps_per_epoch(images, config.batch_size) * config.batch_size
    data = made_up(config, max(1, classes))
    private = throwaway(config, len(data.images)) if config.privacy.active else None

    def steps(arithmetic: Arithmetic) -> Any:
        game = new_game(config, classes, device, arithmetic, planned=planned, private=private)
        batches = Batches(data, config, device, private=private)
        return lambda: train_step(game, batches.batch(1), config, arithmetic)  # as training.run

    how, _ = fastest(config, device, steps, planned // config.batch_size)
    game = new_game(config, classes, device, how, planned=planned, private=private)
    batches = Batches(data, config, device, private=private)
    starts = [start for start in game.discriminator.phases if start < planned]
    if config.fine_tune:  # its discriminator is past all phases
        starts = [0]
        game.head_start = game.discriminator.phases[-1]
    total, phases = 0.0, []
    for start, end in zip(starts, [*starts[1:], planned], strict=True):
        rate = _rate(game, batches, config, how, (start, end), seconds / len(starts), device)
        phases.append({"from_images": start, "images_per_second": round(rate, 1)})
        total += (end - start) / rate
    memory = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else own_bytes()
    return {
        "seconds": round(total, 1),
        "images": planned,
        "images_per_second": round(planned / total, 1),
        "phases": phases,
        "precision": how.precision,
        "memory_bytes": int(memory),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def _rate(
    game: Game, batches: Batches, config: RunConfig, how: Arithmetic, phase: tuple[int, int],
    seconds: float, device: torch.device,
) -> float:  # fmt: skip
    """Images per second in a phase, from so many images to so many; no longer than it takes.

    By whole turns of the lazy penalties, whose steps take longer than the others.
    """
    start, end = phase
    turn = config.penalty_every if config.penalty else 1
    enough = max(_FEWEST, -(-(end - start) // (turn * config.batch_size)))
    step_on = stepper(game, config, how, device)
    first = -(-start // config.batch_size) // turn * turn + turn

    def one(step: int) -> float:
        began = time.perf_counter()
        batch: Batch = replace(
            batches.batch(step % batches.steps_per_epoch), step=step, images=max(start, 0)
        )
        step_on(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    for step in range(first, first + steps_to_settle(config)):
        one(step)
    took: list[float] = []
    began = time.perf_counter()
    while not took or (len(took) < enough and time.perf_counter() - began < seconds):
        took.append(sum(one(first + i) for i in range(turn)))
    return turn * config.batch_size / statistics.median(took)


def made_up(config: RunConfig, classes: int) -> Decoded:
    count = max(_IMAGES, config.batch_size)
    shape = (count, config.resolution, config.resolution)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = tuple(str(c) for c in range(classes))
    return Decoded(levels, np.arange(count) % classes, labels, "", {})
