"""NVIDIA cards as the driver's own tool tells of them: no torch, no CUDA context in a worker."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

_QUERY = "index,uuid,name,memory.total,memory.used"


@dataclass(frozen=True)
class Gpu:
    """A card; memory in MiB."""

    index: int
    uuid: str
    name: str
    memory_total: int
    memory_used: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def installed() -> list[Gpu]:
    """Every card of this machine, by the driver's index; none without a working driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in answer.stdout.splitlines():
        parts = [part.strip() for part in line.split(",")]
        try:
            total, used = (int(float(part)) for part in parts[3:5])
            found.append(Gpu(int(parts[0]), parts[1], parts[2], total, used))
        except (ValueError, IndexError):  # "[N/A]": a card that does not answer
            continue
    return found


def visible(cards: list[Gpu]) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return cards
    found = []
    for name in (part.strip() for part in chosen.split(",")):
        match = [c for c in cards if name in (str(c.index), c.uuid) or c.uuid.startswith(name)]
        if not name or not match:
            break  # as CUDA does: what follows a wrong name is not seen
        found.append(match[0])
    return found


def of_worker(train_device: str, processes: int) -> list[Gpu]:
    """The cards that a worker's jobs use: one, or one a process."""
    if train_device == "cpu":
        return []
    cards = visible(installed())
    first = int(train_device.partition(":")[2] or 0)
    return cards[first : first + processes]
