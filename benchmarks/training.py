"""Images per second of the trainer, a row a family, against a plain PyTorch DCGAN loop in one run.

    python -m benchmarks.training --data FOLDER [--threads 2] [--rounds 5] [--steps 8]

FOLDER holds class folders of images.  The plain loop and `paper` train the same networks at 64
pixels and batch 50 (equal work); the other presets are measured with their own networks and batch,
a discriminator whose parts join later in each of its phases; on a card with captured steps
(training/captured.py) and without.  The rounds alternate, so that a
machine whose speed drifts is fair to all.  Operations are counted by torch in one step; with
--peak-tflops (of the GPU in bfloat16) their share of the peak is told.  Memory is of a process of
its own (`python -m training cost`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import plain_dcgan
from library.config import RunConfig, resolve
from library.datasets.opened import open_dataset
from library.decoded import Decoded, decode
from training.batches import Batch, Batches
from training.captured import Step, stepper, steps_to_settle
from training.precision import Arithmetic, choose_device, prepare
from training.run import probe
from training.trainer import Game, new_game, train_step

PLAIN = "plain PyTorch DCGAN loop, DataLoader over files"
PRESETS = ("paper", "lite", "turbo")
ON_A_CARD = ("flagship",)  # a step of it takes a minute on two cores


class Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch declares no types
    """Counts the operations of convolutions and products, also in gradients of gradients."""

    total = 0.0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += float(count(*args, **(kwargs or {}), out_val=found))
        return found


@dataclass
class Contender:
    """One preset in one phase of its discriminator."""

    config: RunConfig
    data: Decoded
    device: torch.device
    start: int  # images shown before
    captured: bool = False  # steps as CUDA graphs

    def __post_init__(self) -> None:
        self.how, _ = probe(self.config, self.data, self.device)
        self.game: Game = new_game(
            self.config, len(self.data.labels), self.device, self.how, planned=10**9
        )
        self.batches = Batches(self.data, self.config, self.device)
        self.step = 0
        self.gflop = self._count()
        self._step_on: Step = self._uncaptured
        if self.captured:
            self._step_on = stepper(self.game, self.config, self.how, self.device)
            for _ in range(steps_to_settle(self.config)):
                self.turn()

    def turn(self) -> None:
        """One step; a whole number of turns of the lazy penalty makes a round."""
        self._step_on(replace(self.batches.batch(self.step), images=self.start))
        self.step += 1

    def _uncaptured(self, batch: Batch) -> Tensor:
        return train_step(self.game, batch, self.config, self.how)

    def _count(self) -> float:
        """GFLOP an image: a mean over a turn of the penalty."""
        every = self.config.penalty_every if self.config.penalty else 1
        with Flops() as counter:  # type: ignore[no-untyped-call]
            for step in range(every):
                self._uncaptured(replace(self.batches.batch(step), images=self.start))
        per_image: float = counter.total / every / self.config.batch_size
        return per_image / 1e9


def presets_on(device: torch.device) -> tuple[str, ...]:
    return (*PRESETS, *ON_A_CARD) if device.type == "cuda" else PRESETS


def contenders(data: Decoded, device: torch.device) -> Iterator[tuple[str, Contender]]:
    for name in presets_on(device):
        config = resolve(name, {"seed": 1})
        first = new_game(config, len(data.labels), device, Arithmetic("float32", True))
        for start in first.discriminator.phases:
            told = name if start == 0 else f"{name}, from {start:,} images on"
            yield told, Contender(config, data, device, start, device.type == "cuda")
            if device.type == "cuda":
                yield f"{told}, steps not captured", Contender(config, data, device, start)


def memory_of(preset: str, images: int) -> float:
    """GiB that a run of a preset takes at its peak."""
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.json"
        request.write_text(
            json.dumps({"dataset": {"path": folder}, "data_dir": folder, "preset": preset})
        )
        command = [sys.executable, "-m", "training", "cost", str(request)]
        command += ["--images", str(images), "--seconds", "2"]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        return float(json.loads(done.stdout.splitlines()[-1])["memory_bytes"]) / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="a round and contender")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="bf16 peak of the GPU")
    arguments = parser.parse_args()
    device = choose_device(os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto"))
    torch.set_num_threads(arguments.threads)
    # The rival first meets torch as its author's user would; our settings come after.
    batch = resolve("paper", {"seed": 1}).batch_size
    rival = plain_dcgan.steps(arguments.data, batch, 2, device)
    next(rival)
    prepare(device, arguments.threads)

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with tempfile.TemporaryDirectory() as cache:
        with open_dataset(Path(cache), arguments.data, lambda *_: None) as dataset:
            data = decode(dataset, 64, "crop", Path(cache) / "decoded")
        found = dict(contenders(data, device))
        steps: dict[str, tuple[Callable[[], None], int]] = {PLAIN: (lambda: next(rival), batch)}
        steps |= {name: (each.turn, each.config.batch_size) for name, each in found.items()}
        rates: dict[str, list[float]] = {name: [] for name in steps}
        for step, _ in steps.values():  # warm-up
            step()
        for _ in range(arguments.rounds):
            for name, (step, size) in steps.items():
                synchronise()
                start = time.perf_counter()
                for _ in range(arguments.steps):
                    step()
                synchronise()
                rates[name].append(arguments.steps * size / (time.perf_counter() - start))
        pulls, paper = 200, found["paper"]
        start = time.perf_counter()
        for pull in range(pulls):
            paper.batches.batch(pull)
        synchronise()
        input_ms = 1000 * (time.perf_counter() - start) / pulls

    memory = {name: memory_of(name, len(data.images)) for name in presets_on(device)}
    print(f"device {device.type}, {arguments.threads} threads, torch {torch.__version__}")
    head = ["", "images/s, median (min to max)", "over the plain loop", "GFLOP an image", "TFLOP/s"]
    head += ["share of the peak"] if arguments.peak_tflops else []
    head += ["precision", "peak memory, GiB"]
    print(f"\n| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name, values in rates.items():
        ratio = statistics.median(v / r for v, r in zip(values, rates[PLAIN], strict=True))
        median = statistics.median(values)
        row = [name, f"{median:.1f} ({min(values):.1f} to {max(values):.1f})", f"{ratio:.2f}"]
        each = found.get(name)
        if each is None:
            row += ["–"] * (len(head) - 3)
        else:
            done = median * each.gflop / 1000
            row += [f"{each.gflop:.2f}", f"{done:.2f}"]
            row += [f"{100 * done / arguments.peak_tflops:.1f}%"] if arguments.peak_tflops else []
            row += [each.how.precision, f"{memory[name.split(',')[0]]:.1f}"]
        print(f"| {' | '.join(row)} |")
    step_ms = 1000 * batch / statistics.median(rates["paper"])
    print(
        f"\nOne batch from the memory map: {input_ms:.2f} ms, {100 * input_ms / step_ms:.2f}% of "
        f"a step of `paper` of {step_ms:.0f} ms."
    )


if __name__ == "__main__":
    main()
