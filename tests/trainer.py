"""`python -m training run` as a child process: its request, its events, its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent
REAL = Path(__file__).parent / "data" / "chest_xray"

# Small enough to train in seconds, and everything on: classes, EMA, augmentation.
TINY: dict[str, Any] = {
    "generator_width": 8,
    "discriminator_width": 8,
    "epochs": 2,
    "batch_size": 8,
    "precision": "float32",
    "threads": 1,
    "seed": 7,
    "conditional": True,
    "ema_half_life_kimg": 0.05,
    "augmentation": {"rotation": 30, "crop": 0.1, "scale": 0.1},
}


def write_request(folder: Path, model: str | None = None, **config: Any) -> Path:
    """A request whose data folder is `folder` and whose run folder is `folder`/runs/tiny."""
    path = folder / "tiny.json"
    content = {
        "dataset": {"path": str(REAL)},
        "data_dir": str(folder),
        "model": model,
        "config": {**TINY, **config},
    }
    path.write_text(json.dumps(content))
    return path


class Trainer:
    """A trainer at work; killed at the end of the block if it still is."""

    def __init__(self, request: Path, *options: str) -> None:
        command = [sys.executable, "-m", "training", "run", str(request), *options]
        self._errors = open(request.with_suffix(".log"), "ab")
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={"SYNTHORAX_TRAIN_DEVICE": "cpu", **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self._errors.close()

    def wait_for(self, kind: str, **least: int) -> dict[str, Any]:
        """Read events up to one of this type whose fields are at least these."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            self.events.append(event)
            if event["type"] == kind and all(event[k] >= v for k, v in least.items()):
                return event
        raise AssertionError(f"The trainer ended before {kind} {least}: {self.events[-3:]}")

    def end(self) -> int:
        """Read events to the last one; the exit status."""
        assert self.process.stdout is not None
        self.events += [json.loads(line) for line in self.process.stdout]
        return self.process.wait()
