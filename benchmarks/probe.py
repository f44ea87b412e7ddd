"""What fitting a linear probe costs: its gradient written down in NumPy, beside torch's autograd.

    python -m benchmarks.probe [--rounds 7]

Features of 1,280 numbers, as EfficientNet-Lite0's are, of two classes that overlap.  Each round, in
turn, in one thread: `evaluation.probe.fitted`, and the same loss and optimiser with torch's
autograd, as most scripts have it.  CPU time, medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.probe import PENALTY, STEPS, fitted

WIDTH = 1280
IMAGES = (300, 1000, 4000)


def by_autograd(features: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
    x = torch.from_numpy((features - features.mean(0)) / (features.std(0) + 1e-3))
    y = torch.from_numpy(classes)
    each = torch.from_numpy(len(classes) / (2 * np.bincount(classes)))[y].float()
    weights = torch.zeros(WIDTH, 2, requires_grad=True)
    bias = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weights + bias, y, reduction="none") * each
        total = loss.mean() + PENALTY / 2 * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def ours(features: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
    fitted(features, classes, 2)


def drawn(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(count)
    classes = random.integers(0, 2, count)
    apart = random.normal(size=WIDTH) * 0.05
    features = random.normal(size=(count, WIDTH)) + classes[:, None] * apart
    return features.astype(np.float32), classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| images | autograd, s | ours, s | ratio |\n|---|---|---|---|")
    for count in IMAGES:
        given = drawn(count)
        took: tuple[list[float], list[float]] = [], []
        for _ in range(rounds):
            for each, fit in zip(took, (by_autograd, ours), strict=True):
                begin = time.process_time()
                fit(*given)
                each.append(time.process_time() - begin)
        theirs, us = map(statistics.median, took)
        print(f"| {count:,} | {theirs:.2f} | {us:.2f} | {theirs / us:.1f} |")


if __name__ == "__main__":
    main()
