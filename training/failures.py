"""What an exception that ended a run means, for whoever can act on it."""

from __future__ import annotations

import gc
from pathlib import Path

import torch
import torch.distributed as dist

from library import disk
from library.errors import SynthoraxError
from library.memory import out_of_memory
from library.requests import RunRequest
from training.memory import fitting_batch

MEASURING = "The memory is too small; measuring which batch size would fit."


def problem_of(error: Exception, folder: Path) -> SynthoraxError:
    """The problem behind an exception of a run in `folder`."""
    if isinstance(error, SynthoraxError):
        return error
    found = disk.as_problem(error, folder) if isinstance(error, OSError) else None
    return found or SynthoraxError(
        f"The trainer stopped with an unexpected {type(error).__name__}: {error}",
        remedy="The end of its log says where.",
    )


def is_lost_peer(error: Exception) -> bool:
    """Another process of the team is gone: what gloo and NCCL raise then."""
    return isinstance(error, RuntimeError) and (
        isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)
    )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Also of one that the end of a capture, which it broke off, raised upon it."""
    while error is not None:
        # torch's allocator for CPUs has no exception of its own.
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or (
            isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
        ):
            return True
        error = error.__context__
    return False


def what_fits(request: RunRequest) -> SynthoraxError:
    """The problem of a batch that was too large, with one that fits.

    To be called where no exception holds the run's tensors any more.
    """
    gc.collect()
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.empty_cache()
    config = request.config
    fits = fitting_batch(request.run.request, config, 0)
    limit = "the card's memory" if cuda else "the memory"
    return out_of_memory(config.batch_size, config.resolution, limit, fits)
