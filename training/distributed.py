"""One run on several devices: torchrun starts a process each, DistributedDataParallel joins them.

Rank 0 alone writes the run folder, tells events and publishes.  Every rank draws the whole batch of
step k and takes its own rows of it, so the order of the samples is the same for any number of
processes that divides the batch.  Batch norm sees the rows of its own process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from library.errors import InvalidValue

_WAIT = timedelta(hours=24)  # for rank 0, which may decode a large dataset


@dataclass(frozen=True)
class Team:
    """The processes of a run, and this one's place among them."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch."""
        each = batch_size // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def any(self, wish: bool) -> bool:
        """Whether some process wishes it; all of them ask at the same step."""
        if self.size == 1:
            return wish
        wishes = torch.tensor([int(wish)])
        dist.all_reduce(wishes, dist.ReduceOp.MAX, group=_control())
        return bool(wishes.item())

    def mean(self, values: Tensor) -> Tensor:
        """The mean of every process's values; they all have the same number of rows."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def wait(self) -> None:
        """Until every process has come here."""
        if self.size > 1:
            dist.barrier(group=_control())

    def shared(self, network: nn.Module, device: torch.device, in_turns: bool = False) -> nn.Module:
        """A network whose gradients are means over the processes; alone, the network itself.

        in_turns: some of its parts have no gradient for a while.
        """
        if self.size == 1:
            return network
        devices = [device.index or 0] if device.type == "cuda" else None
        # Buffers (batch norm's statistics) are each process's own; those of rank 0 are kept.
        return DistributedDataParallel(
            network,
            device_ids=devices,
            forward_sync_buffers=False,
            find_unused_parameters=in_turns,
        )

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()


ALONE = Team()
_groups: dict[str, Any] = {}


def _control() -> Any:
    """The group for wishes: on the CPU, so that no card waits for them."""
    return _groups["control"]


def join(device: torch.device) -> Team:
    """The team that torchrun's variables tell of; alone without them."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    _end_with_parent()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_WAIT)
    _groups["control"] = dist.new_group(backend="gloo", timeout=_WAIT)
    return Team(dist.get_rank(), size)


def local_device(device: torch.device) -> torch.device:
    """The card of this process: torchrun numbers them from 0."""
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def check_divides(processes: int, batch_size: int) -> None:
    """Raises InvalidValue when the rows of a batch cannot be shared evenly."""
    if batch_size % processes:
        raise InvalidValue(
            f"config.batch_size is {batch_size}, and {processes} processes share each batch.",
            field="config.batch_size",
            value=batch_size,
            remedy=f"Use a multiple of {processes}, or another SYNTHORAX_TRAIN_PROCESSES.",
        )


def _end_with_parent() -> None:
    """torchrun gives each process a session of its own: on Linux it is to end with torchrun."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
