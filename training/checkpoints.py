"""Full training state in one safetensors file: written whole, the previous one kept."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from library.atomic import write_bytes
from library.digest import digest_version
from library.runs import checkpoints
from training.adam import Optimiser

KEPT = 2


@dataclass
class State:
    """What a run is between two steps."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, Optimiser]
    counters: dict[str, Any]  # step, and the sums of the running epoch; JSON

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by a name of its own, on the CPU."""
        found: dict[str, Tensor] = {}
        for name, module in self.modules.items():
            for key, tensor in module.state_dict().items():
                found[f"{name}.{key}"] = tensor.cpu().contiguous()
        for name, optimiser in self.optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                for key, tensor in values.items():
                    found[f"{name}.{index}.{key}"] = tensor.cpu().contiguous()
        return found


class NotFinite(Exception):
    """A tensor of the state holds an infinity or no number: its name."""


def checkpoint_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, if it is kept."""
    return folder / f"{step:010d}.safetensors"


def save_checkpoint(
    folder: Path, state: State, keep: Callable[[int], bool] = lambda _step: False
) -> Path:
    """Write `{step}.safetensors` atomically, then remove older ones.

    The one before it stays, and so does each whose step `keep` wants.  Called by the one trainer
    that holds the run folder.  Raises NotFinite, and writes nothing then.
    """
    tensors = state.tensors()
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise NotFinite(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.glob(".*.tmp"):  # half a checkpoint, by a trainer that was killed
        left.unlink()
    path = checkpoint_of(folder, state.counters["step"])
    counters = json.dumps(state.counters)
    facts = {"counters": counters, "sha256": _digest(json.loads(counters), tensors)}
    write_bytes(path, save(tensors, facts))
    # One of a later step is damaged, or the run would have gone on from it.
    kept = [other for other in checkpoints(folder) if other <= path]
    kept = kept[:KEPT] + [other for other in kept[KEPT:] if keep(int(other.stem))]
    for old in checkpoints(folder):
        if old not in kept:
            old.unlink()
    return path


def _digest(counters: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    return digest_version(counters, {name: tensor.numpy() for name, tensor in tensors.items()})


def counters_in(folder: Path) -> Iterator[dict[str, Any]]:
    """The counters of each checkpoint that can be read, newest first; their tensors are not."""
    for path in checkpoints(folder):
        with contextlib.suppress(SafetensorError, OSError, ValueError, KeyError, TypeError):
            with safe_open(path, framework="pt") as file:
                counters: dict[str, Any] = json.loads(file.metadata()["counters"])
            yield counters


def drop_checkpoints_after(folder: Path, step: int) -> None:
    """Leave those up to a step, if there is one of that step."""
    there = checkpoints(folder)
    if any(int(path.stem) == step for path in there):
        for path in there:
            if int(path.stem) > step:
                path.unlink()


def load_checkpoint(folder: Path, state: State) -> tuple[Path | None, list[str]]:
    """Load the newest checkpoint that can be read into `state`.

    Returns its path (None: there is none, begin anew) and a sentence for each damaged one.
    """
    damaged = []
    for path in checkpoints(folder):
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata()
                counters = json.loads(facts["counters"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}
            if "sha256" in facts and facts["sha256"] != _digest(counters, tensors):
                raise ValueError("its bytes are not those that were written")
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
