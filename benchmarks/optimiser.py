"""What a trainer's optimiser costs: its own fused Adam beside torch.optim's, which it equals.

    python -m benchmarks.optimiser [--rounds 7]

Each round starts two Pythons, in turn.  Each imports the trainer, builds the paper's generator and
takes one step of Adam, then 200 more: CPU seconds up to the first step's end, the most memory held
until then, and milliseconds a step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

OURS, TORCH = "training.adam.FusedAdam", "torch.optim.Adam, fused"
STEPS = 200


def child(name: str) -> None:
    import torch
    from torch.optim import Adam

    import training.run  # noqa: F401  as a trainer does
    from library.config import resolve
    from training.adam import FusedAdam
    from training.networks import architecture_of, build_generator

    torch.set_num_threads(1)
    parameters = list(build_generator(architecture_of(resolve("paper"), 0)).parameters())
    betas = (0.5, 0.999)
    ours = name == OURS
    adam = FusedAdam(parameters, 2e-4, betas) if ours else Adam(parameters, 2e-4, betas, fused=True)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    adam.step()
    used = resource.getrusage(resource.RUSAGE_SELF)
    first = {"seconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1000}
    began = time.perf_counter()
    for _ in range(STEPS):
        adam.step()
    print(json.dumps({**first, "step_ms": (time.perf_counter() - began) / STEPS * 1000}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    found: dict[str, list[dict[str, float]]] = {TORCH: [], OURS: []}
    for _ in range(arguments.rounds):
        for name, rows in found.items():
            command = [sys.executable, "-m", "benchmarks.optimiser", "--child", name]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    keys = ("seconds", "megabytes", "step_ms")
    print(
        f"| {arguments.rounds} rounds, medians | CPU seconds to the first step | MB | ms a step |"
    )
    print("|---|---|---|---|")
    base = [statistics.median(row[key] for row in found[TORCH]) for key in keys]
    for name, rows in found.items():
        mine = [statistics.median(row[key] for row in rows) for key in keys]
        cells = [f"{m:.3g} ({m / b:.2f})" for m, b in zip(mine, base, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
