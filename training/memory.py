"""Which batch size fits in a memory: measured with the run's own networks, not guessed."""

from __future__ import annotations

import importlib
import json
import math
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

from library.atomic import read_json
from library.config import RunConfig
from library.datasets.opened import open_dataset
from library.decoded import Decoded
from library.memory import available, tree_bytes
from library.requests import RunRequest, read_request
from training.adam import Optimiser
from training.batches import Batches, resident_bytes
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


class TooSlow(Exception):
    """The steps of a batch size took longer than there is time to try it: it may fit or not."""


def fitting_batch(request: Path, config: RunConfig, limit: int) -> int | None:
    """The largest batch size below the configured one whose training fits; 0: none does.

    None: that could not be measured in time.
    limit: bytes of the trainer's process, 0: the memory that is free on its device now.  Two small
    sizes are measured, each in a process of its own, what is in between is a line; the answer is
    tried, and made smaller until it holds.
    """
    most = _MARGIN * ((limit or _free()) - _beside(request))
    sizes = (_SMALL, max(4 * _SMALL, min(16, config.batch_size // 2)))
    known = 0  # what has been measured to fit
    try:
        first = peak(request, sizes[0])
        if first is None or first > most:
            return 0
        known = _SMALL
        second = peak(request, sizes[1])
        if second is None:
            return known
        if second <= most and sizes[1] < config.batch_size:
            known = sizes[1]
        each = max(1.0, (second - first) / (sizes[1] - sizes[0]))
        size = min(int(_SMALL + (most - first) / each), config.batch_size - 1)
        while size > _SMALL:
            found = peak(request, size)
            if found is not None and found <= most:
                return size
            size = int(size * 0.75)
        return _SMALL
    except TooSlow:
        return known or None


def peak(request: Path, size: int) -> int | None:
    """Bytes that training with a batch size takes at its peak; None: it does not fit at all.

    Raises TooSlow.
    """
    command = [sys.executable, "-m", "training", "fit", str(request), "--batch-size", str(size)]
    try:
        answer = subprocess.run(
            command, capture_output=True, timeout=_TRY_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
        return int(json.loads(answer.stdout.splitlines()[-1])["bytes"])
    except subprocess.TimeoutExpired:
        raise TooSlow from None
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
    count = _most_at_once(config)
    images = np.zeros((count, config.resolution, config.resolution), np.uint8)
    data = Decoded(images, np.arange(count) % max(1, classes), ("a", "b"), "", {})
    how = Arithmetic("float32" if config.precision == "auto" else config.precision, True)
    private = None
    if config.privacy.active:  # each step draws all
        private = throwaway(replace(config, batch_size=count), count)
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


def _most_at_once(config: RunConfig) -> int:
    """Images of the largest step of a run: drawn one by one, their number scatters."""
    size = config.batch_size
    return size + math.ceil(5 * math.sqrt(size)) if config.privacy.active else size


def _beside(request: Path) -> int:
    """Bytes of the dataset on a card: what is measured has made-up images, a batch of them."""
    if not torch.cuda.is_available():
        return 0
    asked = read_request(request)
    if asked.run.dataset.is_file():
        images = read_json(asked.run.dataset)["images"]
    else:
        with open_dataset(asked.data_dir, asked.dataset_named, lambda *_: None) as dataset:
            images = dataset.record["splits"]["train"]["images"]
    return resident_bytes(images, asked.config.resolution)


def _free() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return available()
