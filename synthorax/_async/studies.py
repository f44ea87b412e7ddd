"""Studies: does it help to train with synthetic images, answered by many runs on the service."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthorax._async.datasets import AsyncDatasets, Named
from synthorax._async.jobs import idempotent
from synthorax._async.long_work import POLL_SECONDS, AsyncLongWork
from synthorax._async.running import blocking, sleep
from synthorax._async.saving import save_stream
from synthorax._async.transport import AsyncTransport


class AsyncStudy(AsyncLongWork):
    """One study, as it was at the last answer; `reload` asks anew."""

    _route = "/studies"

    @property
    def verdict(self) -> dict[str, Any] | None:
        """verdict (benefit, equivalent, inconclusive or harm) and text; None before the results."""
        found: dict[str, Any] | None = self.record["verdict"]
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.status}, {self.progress['fraction']:.0%}>"

    async def results(self) -> dict[str, Any]:
        """results.json: verdict, contrasts, arms.  Raises Conflict before there are any."""
        return await self._transport.json("GET", f"{self._path}/results.json")

    async def download(self, folder: str | os.PathLike[str]) -> Path:
        """All files of the results in a folder: the page, tables, figures, methods."""
        target = Path(folder)
        with tempfile.TemporaryDirectory(prefix="synthorax-") as temporary:
            archive = Path(temporary) / "results.zip"
            await save_stream(self._transport, "GET", f"{self._path}/results.zip", archive)
            await blocking(_unpack, archive, target)
        return target

    async def score(self, predictions: str | os.PathLike[str] | bytes, name: str) -> AsyncStudy:
        """Score a model of your own: a CSV of its predictions for the study's test images.

        The results are made again with it; `wait` waits for that.  What is wrong with the
        predictions is told in the record's `scores`.
        """
        content = predictions if isinstance(predictions, bytes) else Path(predictions).read_bytes()
        self.record = await self._transport.json(
            "POST",
            f"{self._path}/scores",
            params={"name": name},
            content=content,
            headers={"Content-Type": "text/csv"},
        )
        return self

    async def arms(self, path: str | os.PathLike[str]) -> Path:
        """What each arm is trained on, as a ZIP, for a model of your own.

        It holds images of patients.  Raises Conflict until all runs are done.
        """
        while await self._arms_are_being_made():
            await sleep(POLL_SECONDS)
        return await save_stream(self._transport, "GET", f"{self._path}/arms.zip", Path(path))

    async def _arms_are_being_made(self) -> bool:
        first = {"Range": "bytes=0-0"}  # the archive itself is fetched once it is there
        response = await self._transport.send("GET", f"{self._path}/arms.zip", headers=first)
        return response.status_code == 202


class AsyncStudies:
    """The studies of a service."""

    def __init__(self, transport: AsyncTransport, datasets: AsyncDatasets) -> None:
        self._transport, self._datasets = transport, datasets

    async def estimate(self, dataset: Named, config: Mapping[str, Any]) -> dict[str, Any]:
        """How much a study is, and how long it would take on the workers' machine.

        `status` is measuring at first: ask again.  Nothing is queued.
        """
        body = await self._body(dataset, config)
        return await self._transport.json("POST", "/studies/estimates", json=body, repeatable=True)

    async def create(
        self, dataset: Named, config: Mapping[str, Any], *, key: str | None = None
    ) -> AsyncStudy:
        """Queue a study.

        dataset: an id, or a folder that the service may read in place.  config: at least
        {"positive": a class}; what is left out has its default.  key: an idempotency key; the same
        one makes no second study.
        """
        body = await self._body(dataset, config)
        made = await self._transport.json("POST", "/studies", json=body, **idempotent(key))
        return AsyncStudy(self._transport, made)

    async def _body(self, dataset: Named, config: Mapping[str, Any]) -> dict[str, Any]:
        return {"dataset": await self._datasets.named(dataset), "config": dict(config)}

    async def get(self, study: str) -> AsyncStudy:
        """A study by its id.  Raises NotFound."""
        return AsyncStudy(self._transport, await self._transport.json("GET", f"/studies/{study}"))

    async def list(self, status: str | None = None, limit: int = 50) -> list[AsyncStudy]:
        """Studies, newest first; `limit` at most 200."""
        params: dict[str, Any] = {"limit": limit} | ({"status": status} if status else {})
        answer = await self._transport.json("GET", "/studies", params=params)
        return [AsyncStudy(self._transport, record) for record in answer["data"]]


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
