"""The trainer's own Adam against torch's, and why it is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import Adam

from tests.trainer import ROOT, write_request
from training.adam import FusedAdam

Make = Callable[[list[nn.Parameter], float, tuple[float, float]], FusedAdam | Adam]


def of_torch(parameters: list[nn.Parameter], lr: float, betas: tuple[float, float]) -> Adam:
    return Adam(parameters, lr, betas, fused=True)


def after(make: Make, seed: int, plan: list[tuple[float, float]], restart: int) -> list[bytes]:
    """Parameters and state after steps at (lr, beta2); begun anew from its state at `restart`."""
    torch.manual_seed(seed)
    shapes = [(3, 5), (4, 3, 3, 3), (7,), (2, 2)]
    parameters = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    parameters[1].data = parameters[1].data.to(memory_format=torch.channels_last)
    optimiser = make(parameters, 1e-3, (0.5, 0.99))
    for number, (lr, beta2) in enumerate(plan):
        if number == restart:
            kept = optimiser.state_dict()
            optimiser = make(parameters, 1e-3, (0.5, 0.99))
            optimiser.load_state_dict({**optimiser.state_dict(), "state": kept["state"]})
        for group in optimiser.param_groups:
            group["lr"], group["betas"] = lr, (0.5, beta2)
        optimiser.zero_grad()
        for parameter in parameters[: len(parameters) - number % 2]:  # not each has a gradient
            parameter.grad = torch.randn_like(parameter)
        optimiser.step()
    state = optimiser.state_dict()["state"]
    tensors = [*parameters, *(state[i][name] for i in sorted(state) for name in sorted(state[i]))]
    return [tensor.detach().contiguous().numpy().tobytes() for tensor in tensors]


steps = st.tuples(st.sampled_from([2e-4, 2.5e-3, 0.1]), st.sampled_from([0.9, 0.99, 0.999]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.lists(steps, min_size=1, max_size=6), st.integers(0, 6))
def test_it_is_torch_s_to_the_bit(seed: int, plan: list[tuple[float, float]], restart: int) -> None:
    ours, theirs = (after(make, seed, plan, restart) for make in (FusedAdam, of_torch))
    assert ours == theirs


def test_a_step_without_gradients_moves_nothing() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimiser = FusedAdam([parameter], 0.1, (0.5, 0.9))
    optimiser.step()
    assert parameter.tolist() == [1.0, 1.0, 1.0]
    assert optimiser.state_dict() == {"state": {}}


def test_a_trainer_does_not_load_the_compiler(tmp_path: Path) -> None:
    request = write_request(tmp_path, epochs=1, ema_half_life_kimg=0)
    program = (
        "import sys; from training.__main__ import main;"
        f"sys.argv = ['training', 'run', {str(request)!r}];"
        "code = main(); print(code, *(m for m in sys.modules if m == 'torch._dynamo'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0"
