"""The model library of a service, and the reports on its versions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthorax._async.running import blocking, sleep
from synthorax._async.saving import save_stream
from synthorax._async.transport import AsyncTransport
from synthorax.errors import NotFound, SynthoraxError
from synthorax.fetching import check_digest, fetch
from synthorax.hub import push, repository_of

Records = list[dict[str, Any]]
_POLL_SECONDS = 1.0


class AsyncModels:
    """Versions are named name@version; records are as the service shows them."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> Records:
        """Every version: reference, digest, resolution, labels, usable (or the reason), active."""
        found: Records = (await self._transport.json("GET", "/models"))["data"]
        return found

    async def active(self) -> dict[str, Any]:
        """The version that answers where none is named.  Raises NotFound."""
        for each in await self.list():
            if each.get("active"):
                return each
        raise NotFound("No version is served.", 404, {})

    async def get(self, model: str) -> dict[str, Any]:
        """Everything that is recorded of a version (its model.json)."""
        return await self._transport.json("GET", f"/models/{model}")

    async def card(self, model: str) -> str:
        """A version's card, Markdown."""
        return (await self._transport.send("GET", f"/models/{model}/card")).text

    async def activate(self, model: str) -> dict[str, Any]:
        """Serve a version where a request names none."""
        return await self._transport.json("POST", f"/models/{model}/activate", repeatable=True)

    async def export(
        self,
        model: str,
        path: str | os.PathLike[str] | None = None,
        approval: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Path:
        """A version as one file, NAME-VERSION.synthorax if not named; there whole or not at all.

        approval: of a private version, who lets it go and why; it is recorded on the service.
        Raises Conflict without one.
        """
        named = Path(path or f"{model.replace('@', '-')}.synthorax")
        params = {} if approval is None else {"approval": approval}
        return await save_stream(
            self._transport, "GET", f"/models/{model}/export", named, progress, params=params
        )

    async def bring(
        self,
        source: str | os.PathLike[str],
        name: str | None = None,
        sha256: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Publish an exported version here: a file, an https address, or hf://OWNER/REPO/FILE.

        name: to publish under; the one that it had, if left out.  sha256: of the file; needed for
        an https address.  progress(bytes sent, size).  Raises SynthoraxError where it is another
        file, InvalidRequest where the service finds it broken or unsafe.
        """
        given = os.fspath(source)
        with tempfile.TemporaryDirectory(prefix="synthorax-") as folder:
            path = Path(given)
            if "://" in given:
                path = Path(folder) / "fetched.synthorax"
                await blocking(fetch, given, path, sha256)
            elif not path.is_file():
                raise SynthoraxError(f"There is no file {given!r}.")
            if sha256 is not None:
                await blocking(check_digest, path, sha256)
            return await self._transport.send_file(
                "/models", path, {} if name is None else {"name": name}, progress
            )

    async def push(
        self,
        model: str,
        repository: str,
        approval: str | None = None,
        public: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """Commit a version to hf://OWNER/REPO of a Hugging Face hub: the file, its card, a picture.

        A repository that is not there is made, for its owner alone unless `public`.  approval: of
        a private version, who lets it go and why; it is recorded on the service, with where to.
        HF_TOKEN and HF_ENDPOINT as for other tools of the hub; needs the extra `hub`.
        Returns repository, file, commit and url.  Raises Conflict without an approval,
        SynthoraxError where the hub refuses.
        """
        to = repository_of(repository)
        let = None if approval is None else f"{approval} (to hf://{to})"
        with tempfile.TemporaryDirectory(prefix="synthorax-") as folder:
            path = Path(folder) / f"{model.replace('@', '-')}.synthorax"
            await self.export(model, path, let, progress)
            pushed: dict[str, Any] = await blocking(push, path, to, public)
        return pushed

    async def evaluate(
        self,
        model: str,
        dataset: str | None = None,
        count: int = 1000,
        seed: int = 0,
        wait: bool = False,
    ) -> dict[str, Any]:
        """Queue a report on a version; its record, with `wait` once it has ended.

        dataset: the version's own, if left out.  count: samples of each label.  Where such a report
        is under way already, as after a train job, it is that one.
        """
        body = {"dataset": dataset, "count": count, "seed": seed}
        record = await self._transport.json("POST", f"/models/{model}/reports", json=body)
        return await self.report_ended(model, record["id"]) if wait else record

    async def report_ended(
        self, model: str, report: str, progress: Callable[[str, float], None] | None = None
    ) -> dict[str, Any]:
        """Wait for a report to end; its record, whose status is complete or failed.

        progress(phase, fraction of the whole).  Raises SynthoraxError where it was deleted.
        """
        while True:
            record = next((r for r in await self.reports(model) if r["id"] == report), None)
            if record is None:
                raise SynthoraxError(f"{report} was deleted.")
            if record["status"] in ("complete", "failed"):
                return record
            if progress and record["progress"]:
                progress(record["progress"]["phase"], record["progress"]["fraction"])
            await sleep(_POLL_SECONDS)

    async def reports(self, model: str) -> Records:
        """Records of the reports on a version, newest first."""
        answer = await self._transport.json("GET", f"/models/{model}/reports")
        found: Records = answer["data"]
        return found

    async def report(self, model: str, report: str = "latest") -> dict[str, Any]:
        """report.json of a complete report."""
        return await self._transport.json("GET", f"/models/{model}/reports/{report}")

    async def export_report(
        self, model: str, path: str | os.PathLike[str], report: str = "latest"
    ) -> Path:
        """A report's tables, figures, words and images as a ZIP; there whole, or not at all."""
        address = f"/models/{model}/reports/{report}/exports.zip"
        return await save_stream(self._transport, "GET", address, Path(path))

    async def compare(self, one: str, other: str) -> dict[str, Any]:
        """The newest reports of two versions, number by number."""
        return await self._transport.json(
            "GET", "/models/compare", params={"one": one, "other": other}
        )
