"""What the gradient of `turbo`'s strided depthwise convolutions costs in bfloat16 on a CPU.

    python -m benchmarks.depthwise [--rounds 5]

Each round, in turn, in one thread, oneDNN's and ours: the gradient of each such layer of
EfficientNet-Lite1 at 128 pixels, and a whole step of preset `turbo` on a batch of 64 after its
second discriminator has joined.  CPU time, medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from library.config import resolve
from training.batches import Batches
from training.cost import made_up
from training.networks.efficientnet import Convolution, Features, StridedDepthwise, padded
from training.networks.turbo import FEATURES_FROM
from training.precision import Arithmetic, prepare
from training.trainer import new_game, train_step

CPU = torch.device("cpu")
BATCH, SIDE, STEPS = 64, 128, 4


def seconds(of: Callable[[], object]) -> float:
    begin = time.process_time()
    of()
    return time.process_time() - begin


def layers() -> list[tuple[Convolution, int]]:
    """The strided depthwise convolutions, and the side of what each is given."""
    side, found = SIDE // 2, []
    for module in Features().stages.modules():
        if isinstance(module, Convolution) and module.stride == 2:
            found.append((module, side))
            side //= 2
    return found


def gradient(layer: Convolution, side: int, ours: bool) -> Callable[[], object]:
    weight, bias = layer.weight.bfloat16(), layer.bias.bfloat16()
    shape = (BATCH, len(weight), side, side)
    x = torch.randn(shape).bfloat16().contiguous(memory_format=torch.channels_last)
    x.requires_grad_(True)
    if ours:
        y = StridedDepthwise.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    else:
        y = functional.conv2d(padded(x, layer.kernel), weight, bias, 2, groups=len(weight))
    above = torch.randn_like(y).contiguous(memory_format=torch.channels_last)
    return lambda: torch.autograd.grad(y, x, above, retain_graph=True)


def steps(ours: bool) -> Callable[[], None]:
    how, config = Arithmetic("bfloat16", True), resolve("turbo", {"epochs": 100})
    game = new_game(config, 2, CPU, how, planned=10**6)
    game.head_start = FEATURES_FROM
    batches = Batches(made_up(config, 2), config, CPU)
    own = Convolution.forward

    def some() -> None:
        Convolution.forward = own if ours else Convolution.plain  # type: ignore[method-assign]
        try:
            for step in range(1, 1 + STEPS):
                train_step(game, batches.batch(step), config, how)
        finally:
            Convolution.forward = own  # type: ignore[method-assign]

    return some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    prepare(CPU, 1)
    print(f"| {rounds} rounds, medians, one thread | oneDNN's | ours | ratio |\n|---|---|---|---|")
    rows: dict[str, tuple[list[Callable[[], object]], int]] = {}
    for layer, side in layers():
        shape = f"{layer.weight.shape[0]} channels, {layer.kernel}x{layer.kernel}, {side}x{side}"
        rows[f"gradient, {shape}"] = [gradient(layer, side, ours) for ours in (False, True)], 1
    rows[f"step of `turbo`, {BATCH} images"] = [steps(ours) for ours in (False, True)], STEPS
    for name, (both, times) in rows.items():
        for each in both:
            each()
        found = [[seconds(each) for each in both] for _ in range(rounds)]
        theirs, mine = (statistics.median(row[i] for row in found) / times for i in (0, 1))
        cells = f"{theirs * 1e3:.1f} ms | {mine * 1e3:.1f} ms | {mine / theirs:.2f}"
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
