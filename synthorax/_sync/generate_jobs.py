# Made of _async/generate_jobs.py by tools/twins.py; change that one.
"""Generate jobs: up to ten million samples as files, made in shards by the service's workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthorax._sync.jobs import idempotent
from synthorax._sync.running import blocking, sleep
from synthorax._sync.saving import save_stream
from synthorax._sync.transport import Transport
from synthorax.errors import JobFailed, SynthoraxError
from synthorax.fetching import check_digest
from synthorax.generating import drawn_seed

_POLL_SECONDS = 1.0

Told = Callable[[dict[str, Any]], None]  # the job's record


class GenerateJob:
    """One generate job, as it was at the last answer; `reload` asks anew."""

    def __init__(self, transport: Transport, record: dict[str, Any]) -> None:
        self._transport = transport
        self.record = record

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        return str(self.record["status"])

    @property
    def ended(self) -> bool:
        return self.record["finished_at"] is not None

    @property
    def progress(self) -> dict[str, Any]:
        """shards, images, fraction (0 to 1), images_per_second and eta_seconds."""
        found: dict[str, Any] = self.record["progress"]
        return found

    def __repr__(self) -> str:
        far = f"{self.progress['images']:,} of {self.record['count']:,}"
        return f"<{type(self).__name__} {self.id}: {self.status}, {far}>"

    def reload(self) -> GenerateJob:
        """Ask the service how the job is now."""
        self.record = self._transport.json("GET", self._path)
        return self

    def wait(self, progress: Told | None = None, timeout: float | None = None) -> GenerateJob:
        """Wait until the job has ended; raises JobFailed where that is without all samples.

        progress(record), about each second.  timeout: seconds, after which TimeoutError is raised;
        the job goes on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self.ended:
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"{self.id} has not ended yet; it goes on.")
            if progress:
                progress(self.record)
            sleep(_POLL_SECONDS)
            self.reload()
        if progress:
            progress(self.record)
        if self.status != "succeeded":
            raise JobFailed(self.record)
        return self

    def shards(self) -> list[dict[str, Any]]:
        """The shards that are there: file, first_seed, images, labels, bytes, sha256."""
        found: list[dict[str, Any]] = (self._transport.json("GET", f"{self._path}/shards"))["data"]
        return found

    def manifest(self) -> dict[str, Any]:
        """What all shards hold.  Raises Conflict before the last is there."""
        return self._transport.json("GET", f"{self._path}/manifest.json")

    def download(self, folder: str | os.PathLike[str], progress: Told | None = None) -> list[Path]:
        """Fetch the shards into a folder as they come, until the job has ended; their paths.

        What is there already, by its SHA-256, is not fetched again, so that a download that broke
        off goes on.  manifest.json comes last.  Raises JobFailed as `wait` does.
        """
        target, there = Path(folder), dict[str, Path]()
        while True:
            self.reload()
            for shard in self.shards():
                if shard["file"] not in there:
                    there[shard["file"]] = self._fetched(shard, target)
                if progress:
                    progress(self.record)
            if self.ended:
                break
            sleep(_POLL_SECONDS)
        if self.status != "succeeded":
            raise JobFailed(self.record)
        save_stream(self._transport, "GET", f"{self._path}/manifest.json", target / "manifest.json")
        return [there[name] for name in sorted(there)]

    def _fetched(self, shard: dict[str, Any], folder: Path) -> Path:
        path = folder / str(shard["file"])
        if path.is_file() and path.stat().st_size == shard["bytes"]:
            try:
                blocking(check_digest, path, shard["sha256"])
                return path
            except SynthoraxError:
                path.unlink()  # of another job, or damaged
        save_stream(self._transport, "GET", f"{self._path}/shards/{shard['file']}", path)
        blocking(check_digest, path, shard["sha256"])
        return path

    def cancel(self) -> GenerateJob:
        """End the job; the shards that are there stay."""
        self.record = self._transport.json("POST", f"{self._path}/cancel")
        return self

    def resume(self) -> GenerateJob:
        """Make what is missing of a cancelled or failed job."""
        self.record = self._transport.json("POST", f"{self._path}/resume")
        return self

    def delete(self) -> None:
        """Really delete an ended job and its shards."""
        self._transport.json("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/generate-jobs/{self.id}"


class GenerateJobs:
    """The generate jobs of a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        count: int,
        label: str | None = None,
        seed: int | None = None,
        *,
        labels: list[str] | None = None,
        model: str | None = None,
        truncation: float = 1.0,
        key: str | None = None,
        **more: Any,
    ) -> GenerateJob:
        """Queue `count` samples, at most ten million; sample i has seed + i.

        label: of all; labels: classes that take turns; neither: drawn by the seeds.  key: an
        idempotency key; the same one makes no second job.  more: format (png, jpeg, webp, dicom),
        container (webdataset, zip), shard_images.
        """
        body = {
            "count": count,
            "label": label,
            "labels": labels,
            "seed": drawn_seed(count) if seed is None else seed,
            "model": model,
            "truncation": truncation,
            **more,
        }
        made = self._transport.json("POST", "/generate-jobs", json=body, **idempotent(key))
        return GenerateJob(self._transport, made)

    def get(self, job: str) -> GenerateJob:
        """A job by its id.  Raises NotFound."""
        record = self._transport.json("GET", f"/generate-jobs/{job}")
        return GenerateJob(self._transport, record)

    def list(self, status: str | None = None, limit: int = 50) -> list[GenerateJob]:
        """Jobs, newest first; `limit` at most 200."""
        params: dict[str, Any] = {"limit": limit} | ({"status": status} if status else {})
        answer = self._transport.json("GET", "/generate-jobs", params=params)
        return [GenerateJob(self._transport, record) for record in answer["data"]]
