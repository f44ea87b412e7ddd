"""Adam (Kingma and Ba 2015), all moments in one fused pass, for trainers on a CPU.

Bit for bit torch.optim's fused Adam, whose first step imports torch's compiler: a second of a
trainer's start and 74 MB that nothing here uses (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class Optimiser(Protocol):
    """What a run needs of one: torch.optim's have it, too."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self) -> None: ...
    def step(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class FusedAdam:
    """One group of parameters; its state has the names that torch.optim.Adam's has.

    lr and betas are read from param_groups at each step, where a schedule may change them.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float]
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [
            {"params": list(parameters), "lr": lr, "betas": betas}
        ]
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        group = self.param_groups[0]
        moved = [p for p in group["params"] if p.grad is not None]
        if not moved:
            return
        states = [self.state.setdefault(p, {}) or self._begin(p) for p in moved]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            moved,
            [p.grad for p in moved],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],  # of AMSGrad
            steps,
            lr=group["lr"], beta1=beta1, beta2=beta2, eps=EPSILON,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state = self.state[parameter]
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(parameter) for _ in range(2))
        return state

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index of the parameter: its tensors}}; settings come from the run."""
        parameters = self.param_groups[0]["params"]
        return {"state": {i: self.state[p] for i, p in enumerate(parameters) if p in self.state}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        parameters = self.param_groups[0]["params"]
        self.state = {parameters[i]: dict(kept) for i, kept in state_dict["state"].items()}
