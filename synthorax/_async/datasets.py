"""Datasets of a service."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthorax._async.jobs import idempotent
from synthorax._async.running import blocking, sleep
from synthorax._async.transport import AsyncTransport
from synthorax.errors import InvalidRequest, SynthoraxError
from synthorax.packing import packed

_POLL_SECONDS = 0.5

_ID = re.compile(r"ds-[0-9a-f]{12}")

Sent = Callable[[int, int], None]
Named = str | os.PathLike[str] | dict[str, str]
Records = list[dict[str, Any]]


class AsyncDatasets:
    """Records of datasets are as GET /datasets/{id} shows them."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._uploaded: dict[str, str] = {}  # folders and ZIPs of this client -> ids

    async def list(self) -> Records:
        """Every dataset, newest first."""
        found: Records = (await self._transport.json("GET", "/datasets"))["data"]
        return found

    async def get(self, dataset: str) -> dict[str, Any]:
        """One dataset.  Raises NotFound."""
        return await self._transport.json("GET", f"/datasets/{dataset}")

    async def choices(self) -> dict[str, Any]:
        """What can be chosen when a dataset is made, and patterns of public sets' file names."""
        return await self._transport.json("GET", "/datasets/choices")

    async def register(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        choices: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Validate a folder that the service can read in place: nothing is copied."""
        body = {"path": os.fspath(path), "name": name, "choices": dict(choices or {})}
        return await self._transport.json("POST", "/datasets", json=body, **idempotent(None))

    async def upload(
        self,
        archive: str | os.PathLike[str],
        name: str | None = None,
        choices: Mapping[str, Any] | None = None,
        progress: Sent | None = None,
    ) -> dict[str, Any]:
        """Send a ZIP, or a folder packed as one, to be validated.

        progress(sent, size) is called as it goes, in bytes.
        """
        source = Path(archive)
        if source.is_dir():
            temporary: Path = await blocking(packed, source)
            try:
                return await self.upload(temporary, name or source.name, choices, progress)
            finally:
                temporary.unlink(missing_ok=True)
        if not source.is_file():
            raise SynthoraxError(f"There is no folder and no ZIP {str(source)!r}.")
        params = {"name": name or source.stem, "choices": json.dumps(dict(choices or {}))}
        return await self._transport.send_file("/datasets", source, params, progress)

    async def add(
        self,
        source: str | os.PathLike[str],
        name: str | None = None,
        choices: Mapping[str, Any] | None = None,
        progress: Sent | None = None,
    ) -> dict[str, Any]:
        """A folder or a ZIP of images as a dataset, validated.

        A folder that the service may read is used in place; another one is packed and uploaded.
        Raises SynthoraxError, with the service's reason, where it is refused.
        """
        path = Path(source)
        made = None
        if path.is_dir():
            try:
                made = await self.register(str(path.resolve()), name, choices)
            except InvalidRequest as error:
                if not _about_path(error):
                    raise
        if made is None:
            made = await self.upload(path, name, choices, progress)
        return await self.validated(made["id"])

    async def validated(
        self, dataset: str, progress: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """Wait until a dataset is ready; `progress` is told its record meanwhile."""
        while (found := await self.get(dataset))["status"] == "validating":
            if progress:
                progress(found)
            await sleep(_POLL_SECONDS)
        if found["status"] == "failed":
            problem = found["error"] or {}
            raise SynthoraxError(
                problem.get("detail") or f"{dataset} failed.", problem.get("remedy")
            )
        return found

    async def delete(self, dataset: str) -> None:
        """Really delete a dataset; a folder in place stays."""
        await self._transport.json("DELETE", f"/datasets/{dataset}")

    async def withdraw(self, **who: Any) -> dict[str, Any]:
        """Let a patient's images go, and what was made from them; the receipt.

        who: patient, or dataset and file; versions ("retire", "delete"); dry_run.
        """
        return await self._transport.json("POST", "/withdrawals", json=who)

    async def named(self, dataset: Named, refused: InvalidRequest | None = None) -> Named:
        """What POST /train-jobs takes: an id, or a folder in place as {"path": …}.

        A ZIP is uploaded and validated first, and so is a folder in place that was refused.
        """
        if isinstance(dataset, dict):
            given = dataset["path"]
        else:
            given = os.fspath(dataset)
        if given in self._uploaded:
            return self._uploaded[given]
        here = os.path.isdir(given)
        if os.path.isfile(given) or (here and refused is not None and _about_path(refused)):
            made = await self.validated((await self.upload(given))["id"])
            self._uploaded[given] = str(made["id"])
            return self._uploaded[given]
        if refused is not None:
            raise refused
        if here:
            return {"path": str(Path(given).resolve())}
        return given if _ID.fullmatch(given) else {"path": given}


def _about_path(error: InvalidRequest) -> bool:
    return any(str(each.get("field", "")).endswith("path") for each in error.errors)
