"""What a job may take of memory and time, and what is said of one that takes more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library.memory import kills_by_kernel, out_of_memory, tree_bytes
from library.settings import Settings
from worker.child import TrainerProcess, batch_that_fits
from worker.endings import time_limit


class Limits:
    """Of one job: memory of its trainer's processes (MiB) and time (s); 0: no limit.

    over_memory, over_time: what its last attempt was ended for.
    """

    def __init__(self, settings: Settings, request: Mapping[str, Any]) -> None:
        asked = (settings.train_seconds, request.get("max_seconds") or 0)
        self.seconds = float(min((limit for limit in asked if limit), default=0))
        self.megabytes = settings.train_memory_mb
        self._config: Mapping[str, Any] = request["config"]
        self.begin()

    def begin(self) -> None:
        """A new attempt."""
        self._kills = kills_by_kernel()
        self.over_memory = self.over_time = False

    def watch(self, child: TrainerProcess, ran: float) -> None:
        """End a trainer that has too much memory; note that a job has had its time (ran, in s)."""
        if self.megabytes and tree_bytes(child.pid) > self.megabytes * 2**20:
            self.over_memory = True
            child.kill()
        self.over_time = self.over_time or (bool(self.seconds) and ran >= self.seconds)

    def ended(self, code: int) -> None:
        """A trainer killed while the kernel was out of memory was killed for that."""
        if code == -9 and kills_by_kernel() > self._kills:
            self.over_memory = True

    def memory_problem(self, request: Path, environment: Mapping[str, str]) -> dict[str, Any]:
        """With the batch size that would fit, which takes a while to measure."""
        fits = batch_that_fits(request, environment, self.megabytes)
        limit = (
            f"SYNTHORAX_TRAIN_MEMORY_MB={self.megabytes}"
            if self.megabytes
            else "the machine's memory"
        )
        size, resolution = self._config["batch_size"], self._config["resolution"]
        return out_of_memory(size, resolution, limit, fits).as_problem()

    def time_problem(self, ran: float) -> dict[str, Any]:
        return time_limit(ran, self.seconds)
