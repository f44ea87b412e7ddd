"""What one sample costs on one CPU core, a row a preset and resolution, against the paper's DCGAN.

    python -m benchmarks.sample_cost [--rounds 15]

Each generator as it is served: its ONNX graph in ONNX Runtime with one thread, weights as a run
begins with them (the cost does not depend on them).  One sample a call, and 16 a call.  The rounds
alternate, so that a machine whose speed drifts is fair to all; medians are told.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from library.config import resolve
from library.latents import latents
from training.export import to_onnx
from training.networks import architecture_of, build_generator
from training.seeds import seed_torch

ROWS = (
    ("paper", 64), ("lite", 64), ("lite", 128), ("lite", 256),
    ("flagship", 64), ("flagship", 128), ("flagship", 256),
)  # fmt: skip
LARGE = 16
CLASSES = 2


@dataclass
class Served:
    """A generator in a session of one thread."""

    session: Any
    latent_dim: int
    classes: int
    parameters: int

    def draw(self, count: int) -> None:
        inputs: dict[str, Any] = {"z": latents(range(count), self.latent_dim)}
        if self.classes:
            inputs["label"] = np.arange(count, dtype=np.int64) % self.classes
        self.session.run(None, inputs)


def served(preset: str, resolution: int) -> Served:
    config = resolve(preset, {"resolution": resolution, "seed": 1})
    seed_torch(1)
    generator = build_generator(architecture_of(config, CLASSES)).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = to_onnx(generator).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    parameters = sum(p.numel() for p in generator.parameters())
    return Served(session, config.latent_dim, generator.classes, parameters)


def seconds(of: Served, count: int) -> float:
    began = time.perf_counter()
    of.draw(count)
    return (time.perf_counter() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    found = {row: served(*row) for row in ROWS}
    took: dict[tuple[str, int, int], list[float]] = {}
    for each in found.values():
        each.draw(LARGE)
    for _ in range(arguments.rounds):
        for (preset, resolution), each in found.items():
            for count in (1, LARGE):
                took.setdefault((preset, resolution, count), []).append(seconds(each, count))
    print(
        f"| preset | pixels | parameters | ms, alone | ms, of {LARGE} | over `paper`, of {LARGE} |"
    )
    print("|---|---|---|---|---|---|")
    rival = took["paper", 64, LARGE]
    for (preset, resolution), each in found.items():
        alone = 1000 * statistics.median(took[preset, resolution, 1])
        values = took[preset, resolution, LARGE]
        many = 1000 * statistics.median(values)
        ratio = statistics.median(v / r for v, r in zip(values, rival, strict=True))
        print(
            f"| `{preset}` | {resolution} | {each.parameters / 1e6:.1f} M | {alone:.2f} "
            f"| {many:.2f} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
