"""The run folder: what a train job writes, and service, figures and next attempt read."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_bytes
from library.errors import Conflict, NotFound
from library.locks import hold

EVENT_SCHEMA = 1  # of what a run tells: status, metric, sample, checkpoint, log, evaluation

CHECKPOINTS_LISTED = "checkpoints.json"  # where a run folder came without them: what there is

NOISE_KEY = "noise.key"

_LOCK_PAUSE = 0.1  # s, between two tries


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, {step}.safetensors each, newest first."""
    return sorted(folder.glob("[0-9]*.safetensors"), reverse=True)


class FolderBusy(Conflict):
    slug, title = "folder-busy", "Another trainer is at work"


@dataclass(frozen=True)
class RunFolder:
    """{data dir}/runs/{job}: request.json, dataset.json, environment.json, metrics.jsonl, …"""

    path: Path

    @property
    def request(self) -> Path:
        """The request as given to `python -m training run`, its configuration resolved."""
        return self.path / "request.json"

    @property
    def dataset(self) -> Path:
        return self.path / "dataset.json"

    @property
    def environment(self) -> Path:
        """What decides the bits beside the configuration: device, precision, threads, versions."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def files(self) -> Path:
        """What the dataset's files were when the run began: path, label and digest of each."""
        return self.path / "files.json"

    @property
    def ancestor(self) -> Path:
        """The version that the run began with, and what of it did not fit."""
        return self.path / "ancestor.json"

    @property
    def privacy(self) -> Path:
        """What a run with differential privacy may spend, and on which images."""
        return self.path / "privacy.json"

    @property
    def noise_key(self) -> Path:
        """The secret that its noise and its choice of images are drawn from: never published."""
        return self.path / NOISE_KEY

    @property
    def finish(self) -> Path:
        """The step at which the run ends early, once that is decided."""
        return self.path / "finish.json"

    @property
    def collapsed(self) -> Path:
        """When a collapse ended the run: its step and images, the last epoch's before the signs."""
        return self.path / "collapsed.json"

    @property
    def published(self) -> Path:
        return self.path / "published.json"

    @property
    def prepared(self) -> Path:
        """A version without a number, for whoever claims one (`hand_over`)."""
        return self.path / "prepared"

    def sample(self, epoch: int) -> Path:
        return self.path / "samples" / f"epoch-{epoch:05d}.png"

    def sampled_epochs(self) -> list[int]:
        return sorted(
            int(p.stem.split("-")[1]) for p in (self.path / "samples").glob("epoch-*.png")
        )

    def drop_samples_after(self, epoch: int) -> None:
        """Forget the grids of epochs above a checkpoint's, which will be drawn again, or never."""
        for other in self.sampled_epochs():
            if other > epoch:
                self.sample(other).unlink(missing_ok=True)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The metric lines; a last line that a kill cut short is left out, and an empty one."""
        if not self.metrics.is_file():
            return []
        lines = self.metrics.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def list_checkpoints(self) -> list[dict[str, Any]]:
        """Step, epochs done, bytes, time and digest of each whole checkpoint, newest first."""
        found: list[dict[str, Any]] = []
        listed = self.path / CHECKPOINTS_LISTED
        if not self.checkpoints.is_dir() and listed.is_file():
            found = read_json(listed)
            return found
        for path in checkpoints(self.checkpoints):
            try:
                facts, size = _facts(path), path.stat()
                counters = json.loads(facts["counters"])
            except (OSError, ValueError, KeyError):
                continue  # damaged, or just now replaced by a newer one
            per_epoch = counters.get("steps_per_epoch")
            found.append(
                {
                    "step": counters["step"],
                    "epoch": round(counters["step"] / per_epoch, 3) if per_epoch else None,
                    "bytes": size.st_size,
                    "created_at": datetime.fromtimestamp(size.st_mtime, UTC).isoformat(
                        timespec="milliseconds"
                    ),
                    "sha256": facts.get("sha256"),
                }
            )
        return found

    def drop_metrics_above(self, images: int) -> None:
        """Forget what was measured after a checkpoint: it will be measured again."""
        kept = [line for line in self.read_metrics() if line["images"] <= images]
        write_bytes(self.metrics, b"".join(json.dumps(line).encode() + b"\n" for line in kept))

    @contextlib.contextmanager
    def lock(self, wait: float = 0.0) -> Iterator[None]:
        """Only one trainer writes a run folder.

        Raises FolderBusy when another one still does after `wait` seconds.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = time.monotonic() + wait
        while (handle := hold(self.path / "lock")) is None and time.monotonic() < deadline:
            time.sleep(_LOCK_PAUSE)
        if handle is None:
            raise FolderBusy(
                f"Another trainer is at work in the run folder {self.path.name!r}.",
                remedy="Wait for it, or stop it first.",
            )
        try:
            yield
        finally:
            os.close(handle)


def _facts(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file: its header is JSON, after its length in 8 bytes."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
    facts: dict[str, str] = header["__metadata__"]
    return facts


def run_folder(data_dir: Path, job: str) -> RunFolder:
    return RunFolder(data_dir / "runs" / job)


def existing(path: Path) -> RunFolder:
    """A run folder that was started.  Raises NotFound."""
    folder = RunFolder(path)
    if not folder.request.is_file():
        raise NotFound(
            f"{str(path)!r} is no run folder.",
            field="run",
            value=str(path),
            remedy="Give a folder that `python -m training run` wrote: it holds a request.json.",
        )
    return folder
