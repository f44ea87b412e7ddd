"""Which batch size fits in a memory: measured with the run's own networks, not guessed."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch

from library.config import RunConfig
from library.decoded import Decoded
from library.memory import available, tree_bytes
from library.requests import RunRequest
from training.adam import Optimiser
from training.batches import Batches
from training.captured import stepper, steps_to_settle
from training.checkpoints import State, save_checkpoint
from training.export import check, round_to_half, to_onnx
from training.precision import Arithmetic, choose_device, prepare
from training.privacy import throwaway
from training.sampling import at_once, estimate_statistics, fixed_samples
from training.trainer import new_game

_STEPS = 3  # until the optimisers' and the allocator's memory is there
_SMALL = 2
_MARGIN = 0.95  # of the limit: a run also decodes, draws grids and writes checkpoints
_TRY_SECONDS = 120.0


def fitting_batch(request: Path, config: RunConfig, limit: int) -> int | None:
    """The largest batch size below the configured one whose training fits; None: none does.

    limit: bytes of the trainer's process, 0: the memory that is free on its device now.  Two small
    sizes are measured, each in a process of its own, what is in between is a line; the answer is
    tried, and made smaller until it holds.
    """
    limit = limit or _free()
    sizes = (_SMALL, max(4 * _SMALL, min(16, config.batch_size // 2)))
    used = [peak(request, size) for size in sizes]
    if used[0] is None or used[0] > _MARGIN * limit:
        return None
    if used[1] is None:
        return _SMALL
    each = max(1.0, (used[1] - used[0]) / (sizes[1] - sizes[0]))
    size = min(int(_SMALL + (_MARGIN * limit - used[0]) / each), config.batch_size - 1)
    while size > _SMALL:
        found = peak(request, size)
        if found is not None and found <= _MARGIN * limit:
            return size
        size = int(size * 0.75)
    return _SMALL


def peak(request: Path, size: int) -> int | None:
    """Bytes that training with a batch size takes at its peak; None: it does not fit at all."""
    command = [sys.executable, "-m", "training", "fit", str(request), "--batch-size", str(size)]
    try:
        answer = subprocess.run(
            command, capture_output=True, timeout=_TRY_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
        return int(json.loads(answer.stdout.splitlines()[-1])["bytes"])
    except (subprocess.SubprocessError, ValueError, IndexError, KeyError):
        return None


def measure(request: RunRequest, size: int, device_name: str) -> int:
    """Train some steps of a batch size on made-up images; returns the peak in bytes.

    With a checkpoint, a grid and an export, which a run needs memory for, too.
    On a CPU of what the process holds for itself, as SYNTHORAX_TRAIN_MEMORY_MB counts it.
    """
    device = choose_device(device_name)
    prepare(device, request.config.threads or torch.get_num_threads())
    importlib.import_module("training.run")  # what a run has in memory before its first step
    config = replace(request.config, batch_size=size)
    classes = 2 if config.conditional else 0
    shape = (size, config.resolution, config.resolution)
    images = np.zeros(shape, np.uint8)
    data = Decoded(images, np.arange(size) % max(1, classes), ("a", "b"), "", {})
    how = Arithmetic("float32" if config.precision == "auto" else config.precision, True)
    private = throwaway(config, size) if config.privacy.active else None  # each step draws all
    game = new_game(config, classes, device, how, private=private)
    batches = Batches(data, config, device, private=private)
    step_on = stepper(game, config, how, device)
    for step in range(steps_to_settle(config) if device.type == "cuda" else _STEPS):
        # Late in a run, when every part of the discriminator is at work.
        step_on(replace(batches.batch(step), images=game.discriminator.phases[-1]))
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    fixed_samples(game.sampler)
    optimisers: dict[str, Optimiser] = {
        "optimiser_g": game.optimiser_g,
        "optimiser_d": game.optimiser_d,
    }
    with TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), State(game.modules(), optimisers, {"step": 1}))
        generator = game.sampler.cpu()
        del game, batches, optimisers
        round_to_half(generator)
        estimate_statistics(generator, 2 * at_once(config.resolution))  # more take no more
        exported = Path(folder) / "model.onnx"
        onnx.save(to_onnx(generator), exported)
        check(generator, exported)
    importlib.import_module("training.figures")  # what its end draws with
    # The allocator keeps what a step has freed, so that what is held now is the peak.
    return tree_bytes(os.getpid()) or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _free() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return available()
