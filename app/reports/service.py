"""Making, showing and removing reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import Celery

from app.formats.folder_zip import zipped
from app.reports.schemas import ReportRequest
from library.atomic import read_json
from library.datasets.records import read_record
from library.errors import Conflict, InvalidValue, NotFound
from library.report_comparison import compare_reports
from library.reports import (
    ENDED,
    OPERATOR,
    begin_report,
    find_report,
    list_reports,
    remove_report,
)
from library.settings import Settings
from library.store.shared import open_store
from library.version_states import is_held
from library.versions import ModelLibrary, Version
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue_report


class ReportService:
    """Methods raise NotFound for what does not exist, Unusable for a damaged version."""

    def __init__(
        self,
        settings: Settings,
        library: ModelLibrary,
        jobs: JobStore | None,
        celery: Celery | None,
    ) -> None:
        self._library, self._jobs, self._celery = library, jobs, celery
        self._data_dir, self._gate_count = settings.data_dir, settings.report_count
        self._store = open_store(settings)

    def version(self, reference: str) -> Version:
        """Also one that waits for its report."""
        return self._library.find_held(reference)

    def make(self, reference: str, request: ReportRequest) -> dict[str, Any]:
        """Record a report and queue it; the one that is under way where it would say the same.

        Raises Conflict without a dataset, Unavailable.
        """
        version = self.version(reference)
        dataset = request.dataset or version.card["dataset"].get("id")
        self._check(version, None if dataset is None else str(dataset), request)
        assert self._jobs is not None
        assert self._celery is not None
        asked = {"dataset": dataset, "count": request.count, "seed": request.seed}
        with reaching_redis():
            self._jobs.ping()  # nothing is recorded that nobody would make
            if known := self._under_way(version.digest, asked):
                return shown(known)
            record = begin_report(
                self._data_dir, version, asked, gate=self._decides(version, asked)
            )
            self._share(version.digest, record["id"])
            enqueue_report(self._celery, record["id"])
        return shown(record)

    def _decides(self, version: Version, asked: dict[str, Any]) -> bool:
        """A held version waits for the newest report that is no less than its job's own was."""
        own = version.card["dataset"].get("id")
        return is_held(version) and asked["dataset"] == own and asked["count"] >= self._gate_count

    def _under_way(self, digest: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        for known in list_reports(self._data_dir, digest, bundled=None):
            if known["status"] not in ENDED and {"seed": 0, **known["request"]} == asked:
                return known
        return None

    def _share(self, digest: str, identity: str) -> None:
        if self._store is None:
            return
        try:
            self._store.reports.push(f"{digest}/{identity}", new=True)
        except BaseException:
            remove_report(self._data_dir, digest, identity)  # nobody would make it
            raise

    def _check(self, version: Version, dataset: str | None, request: ReportRequest) -> None:
        named = request.dataset is not None
        try:
            if dataset is None:
                raise NotFound("none")
            if self._store is not None:
                self._store.know_dataset(dataset)
            record = read_record(self._data_dir, dataset)
        except NotFound:
            if named:
                raise InvalidValue(
                    f"There is no dataset {dataset!r}.",
                    field="dataset",
                    value=dataset,
                    remedy="GET /datasets lists them.",
                ) from None
            raise Conflict(
                f"The dataset that {version.reference} was trained on is not on this server.",
                field="dataset",
                value=None,
                remedy="Name one that holds its training images and images held out from them: "
                'POST {"dataset": "ds-…"}.',
            ) from None
        if record["status"] != "ready":
            raise Conflict(
                f"The dataset {dataset!r} is {record['status']}.",
                field="dataset",
                value=dataset,
                remedy="Wait until it is ready.",
            )
        if not record["splits"].get("held_out", {}).get("images"):
            raise InvalidValue(
                f"The dataset {dataset!r} has no held-out images: measured against the images that "
                "it was trained on, a generator that copies them looks best.",
                field="dataset",
                value=dataset,
                remedy="Name a dataset with a split.",
            )

    def all(self, reference: str) -> list[dict[str, Any]]:
        digest = self.version(reference).digest
        return [shown(record) for record in list_reports(self._data_dir, digest)]

    def folder(self, reference: str, identity: str) -> Path:
        """Of a complete report.  Raises Conflict for one that is not."""
        digest = self.version(reference).digest
        try:
            return find_report(self._data_dir, digest, identity)[1]
        except NotFound:
            if self._store is None:
                raise
        # Its record is known here by the last look, its folder lies in the store.
        named = [record for record in list_reports(self._data_dir, digest)
                 if identity == record["id"]
                 or (identity == "latest" and record["status"] == "complete")]  # fmt: skip
        if named:
            self._store.reports.bring(f"{digest}/{named[0]['id']}")
        return find_report(self._data_dir, digest, identity)[1]

    def content(self, reference: str, identity: str) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.folder(reference, identity) / "report.json")
        return found

    def export(self, reference: str, identity: str) -> Iterator[bytes]:
        """A ZIP of all but what shows patients, streamed file by file, the same bytes each time."""
        return zipped(self.folder(reference, identity), leave_out=OPERATOR)

    def compare(self, one: str, other: str) -> dict[str, Any]:
        first, second = self.content(one, "latest"), self.content(other, "latest")
        return {
            "one": _named(one, first),
            "other": _named(other, second),
            "differences": compare_reports(first, second),
        }

    def delete(self, reference: str, identity: str) -> None:
        digest = self.version(reference).digest
        if self._store is not None:
            self._store.reports.remove(f"{digest}/{identity}")
        if not remove_report(self._data_dir, digest, identity):
            raise NotFound(f"There is no report {identity!r} of {reference} in the data folder.")


def _named(reference: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"model": reference, "report": content["id"], "lights": content["lights"]}


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the API shows it."""
    base = f"/models/{record['model']}/reports/{record['id']}"
    links = {"self": base}
    if record["status"] == "complete":
        links |= {name: f"{base}/{name}" for name in ("report.html", "card", "exports.zip")}
    names = ("id", "created_at", "status", "model", "gate", "job", "progress", "lights", "error")
    return {
        **{name: record[name] for name in names},
        "dataset": record.get("request", {}).get("dataset"),
        "links": links,
    }
