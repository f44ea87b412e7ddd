"""Full training state in one safetensors file: written whole, the previous one kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from library.atomic import write_bytes

KEPT = 2


@dataclass
class State:
    """What a run is between two steps."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, Optimizer]
    counters: dict[str, Any]  # step, and the sums of the running epoch; JSON


def save_checkpoint(folder: Path, state: State) -> Path:
    """Write `{step}.safetensors` atomically, then remove all but it and the one before.

    Called by the one trainer that holds the run folder.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in state.modules.items():
        for key, tensor in module.state_dict().items():
            tensors[f"{name}.{key}"] = tensor.contiguous()
    for name, optimiser in state.optimisers.items():
        for index, values in optimiser.state_dict()["state"].items():
            for key, tensor in values.items():
                tensors[f"{name}.{index}.{key}"] = tensor.contiguous()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.glob(".*.tmp"):  # half a checkpoint, by a trainer that was killed
        left.unlink()
    path = folder / f"{state.counters['step']:010d}.safetensors"
    write_bytes(path, save(tensors, {"counters": json.dumps(state.counters)}))
    # One of a later step is damaged, or the run would have gone on from it.
    kept = [other for other in checkpoints(folder) if other <= path][:KEPT]
    for old in checkpoints(folder):
        if old not in kept:
            old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, newest first."""
    return sorted(folder.glob("[0-9]*.safetensors"), reverse=True)


def load_checkpoint(folder: Path, state: State) -> tuple[Path | None, list[str]]:
    """Load the newest checkpoint that can be read into `state`.

    Returns its path (None: there is none, begin anew) and a sentence for each damaged one.
    """
    damaged = []
    for path in checkpoints(folder):
        try:
            with safe_open(path, framework="pt") as file:
                counters = json.loads(file.metadata()["counters"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            damaged.append(f"Checkpoint {path.name} cannot be read ({error}); trying an older one.")
            continue
        _restore(state, tensors)
        state.counters.clear()
        state.counters.update(counters)
        return path, damaged
    return None, damaged


def _restore(state: State, tensors: dict[str, Tensor]) -> None:
    for name, module in state.modules.items():
        prefix = f"{name}."
        mine = {k[len(prefix) :]: t for k, t in tensors.items() if k.startswith(prefix)}
        module.load_state_dict(mine)
    for name, optimiser in state.optimisers.items():
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        restored: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith(f"{name}."):
                index, field = key[len(name) + 1 :].split(".")
                parameter = parameters[int(index)]
                if tensor.shape == parameter.shape:
                    # In the parameter's own layout: fused Adam walks both side by side.
                    tensor = torch.empty_like(parameter).copy_(tensor)
                restored.setdefault(int(index), {})[field] = tensor
        state_dict = optimiser.state_dict()
        optimiser.load_state_dict({**state_dict, "state": restored})
