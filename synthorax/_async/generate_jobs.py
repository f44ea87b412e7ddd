"""Generate jobs: up to ten million samples as files, made in shards by the service's workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from synthorax._async.jobs import idempotent
from synthorax._async.long_work import POLL_SECONDS, AsyncLongWork, Told
from synthorax._async.running import blocking, sleep
from synthorax._async.saving import save_stream
from synthorax._async.transport import AsyncTransport
from synthorax.errors import JobFailed, SynthoraxError
from synthorax.fetching import check_digest
from synthorax.generating import drawn_seed


class AsyncGenerateJob(AsyncLongWork):
    """One generate job, as it was at the last answer; `reload` asks anew."""

    _route = "/generate-jobs"

    def __repr__(self) -> str:
        far = f"{self.progress['images']:,} of {self.record['count']:,}"
        return f"<{type(self).__name__} {self.id}: {self.status}, {far}>"

    async def shards(self) -> list[dict[str, Any]]:
        """The shards that are there: file, first_seed, images, labels, bytes, sha256."""
        found: list[dict[str, Any]] = (await self._transport.json("GET", f"{self._path}/shards"))[
            "data"
        ]
        return found

    async def manifest(self) -> dict[str, Any]:
        """What all shards hold.  Raises Conflict before the last is there."""
        return await self._transport.json("GET", f"{self._path}/manifest.json")

    async def download(
        self, folder: str | os.PathLike[str], progress: Told | None = None
    ) -> list[Path]:
        """Fetch the shards into a folder as they come, until the job has ended; their paths.

        What is there already, by its SHA-256, is not fetched again, so that a download that broke
        off goes on.  manifest.json comes last.  Raises JobFailed as `wait` does.
        """
        target, there = Path(folder), dict[str, Path]()
        while True:
            await self.reload()
            for shard in await self.shards():
                if shard["file"] not in there:
                    there[shard["file"]] = await self._fetched(shard, target)
                if progress:
                    progress(self.record)
            if self.ended:
                break
            await sleep(POLL_SECONDS)
        if self.status != "succeeded":
            raise JobFailed(self.record)
        await save_stream(
            self._transport, "GET", f"{self._path}/manifest.json", target / "manifest.json"
        )
        return [there[name] for name in sorted(there)]

    async def _fetched(self, shard: dict[str, Any], folder: Path) -> Path:
        path = folder / str(shard["file"])
        if path.is_file() and path.stat().st_size == shard["bytes"]:
            try:
                await blocking(check_digest, path, shard["sha256"])
                return path
            except SynthoraxError:
                path.unlink()  # of another job, or damaged
        await save_stream(self._transport, "GET", f"{self._path}/shards/{shard['file']}", path)
        await blocking(check_digest, path, shard["sha256"])
        return path


class AsyncGenerateJobs:
    """The generate jobs of a service."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
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
    ) -> AsyncGenerateJob:
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
        made = await self._transport.json("POST", "/generate-jobs", json=body, **idempotent(key))
        return AsyncGenerateJob(self._transport, made)

    async def get(self, job: str) -> AsyncGenerateJob:
        """A job by its id.  Raises NotFound."""
        record = await self._transport.json("GET", f"/generate-jobs/{job}")
        return AsyncGenerateJob(self._transport, record)

    async def list(self, status: str | None = None, limit: int = 50) -> list[AsyncGenerateJob]:
        """Jobs, newest first; `limit` at most 200."""
        params: dict[str, Any] = {"limit": limit} | ({"status": status} if status else {})
        answer = await self._transport.json("GET", "/generate-jobs", params=params)
        return [AsyncGenerateJob(self._transport, record) for record in answer["data"]]
