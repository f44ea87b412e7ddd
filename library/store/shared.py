"""The store of one data folder: what is shared by it, and how this machine follows the others."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from library.datasets.records import read_record
from library.datasets.records import remove as remove_dataset
from library.errors import NotFound
from library.locks import hold
from library.reports import remove_report, reports_root
from library.runs import run_folder
from library.settings import Settings
from library.store.generated import SharedGenerateJobs
from library.store.objects import Objects, StoreAway, open_objects
from library.store.records import SharedRecords
from library.store.runs import JOB, SharedRuns
from library.store.versions import SharedVersions
from library.store.withdrawals import SharedWithdrawals
from library.versions import ModelLibrary

logger = logging.getLogger("synthorax.store")

ASK_SECONDS = 3.0  # that a request waits for the store
ASKED_AT_ONCE = 4
_RUNS_DELETED = "state/deleted/runs/"


class Store:
    """What a data folder shares with other machines'.  Methods raise StoreAway."""

    def __init__(self, objects: Objects, data_dir: Path) -> None:
        self.objects, self.data_dir = objects, data_dir
        self._given = False  # what this folder had before there was a store
        self._one_at_a_time = threading.Lock()
        self._asked = ThreadPoolExecutor(ASKED_AT_ONCE, "asked")
        self._asking = threading.Semaphore(ASKED_AT_ONCE)
        self.versions = SharedVersions(objects, data_dir / "models")
        self.runs = SharedRuns(objects, data_dir)
        self.datasets = SharedRecords(
            objects, "datasets", data_dir / "datasets", "ds-*.json", r"ds-[0-9a-f]{12}",
            _dataset_is_here,
        )  # fmt: skip
        self.reports = SharedRecords(
            objects, "reports", reports_root(data_dir), "*/rp-*.json",
            r"[0-9a-f]{64}/rp-[0-9a-f]{12}", _report_is_here,
        )  # fmt: skip
        self.generated = SharedGenerateJobs(objects, data_dir)
        self.withdrawals = SharedWithdrawals(
            objects, data_dir, self.versions, self.runs, self.datasets, self.reports,
            self.generated,
        )  # fmt: skip

    def library(self, folder: Path | None = None) -> ModelLibrary:
        return ModelLibrary(folder or self.data_dir / "models", shared=self.versions)

    def refresh(self, give: bool = False) -> bool:
        """Follow what others have changed; True when the model library is another one now.

        give: also put what only this folder has; for one process of a machine.
        """
        with self._one_at_a_time:
            return self._refresh(give)

    def ask(self, action: Callable[[], object], seconds: float = ASK_SECONDS) -> None:
        """Do something for a request that waits, and let it go on when that takes too long.

        A store that hangs then hangs nobody.  Raises StoreAway; what was begun goes on.
        """
        if not self._asking.acquire(blocking=False):
            raise StoreAway("The store does not answer: others wait for it already.")
        asked = self._asked.submit(action)
        asked.add_done_callback(lambda _: self._asking.release())
        try:
            asked.result(seconds)
        except TimeoutError:
            raise StoreAway(f"The store did not answer within {seconds:g} s.") from None

    def know_dataset(self, identity: str) -> None:
        """Look whether another machine has a dataset, or a newer state of it than `ready` here."""
        try:
            if read_record(self.data_dir, identity)["status"] != "ready":
                with contextlib.suppress(StoreAway):  # what is known here will do
                    self.ask(lambda: self.datasets.look(identity))
        except NotFound:
            self.ask(lambda: self.datasets.look(identity))

    def _refresh(self, give: bool) -> bool:
        listing = self.objects.list("state/")
        self.withdrawals.pull(listing)
        changed = self.versions.pull(listing)
        self.datasets.pull(listing, lambda name: remove_dataset(self.data_dir, name))
        self.reports.pull(listing, self._remove_report)
        self._remove_runs(listing)
        self.generated.pull(listing)
        if give:
            self.generated.give_missing(listing)
            if not self._given:
                for reference in self.versions.adopt(self.library()):
                    logger.warning("%s is another version in the store: this one is unknown to "
                                   "other machines", reference)  # fmt: skip
                self._given = True
            self.withdrawals.push_missing(listing)
            self.datasets.push_missing(listing)
            self.reports.push_missing(listing)
        return changed

    def remove_run(self, job: str) -> None:
        """Delete a run folder in the store, and tell the machines that have a copy."""
        self.objects.write(f"{_RUNS_DELETED}{job}/{secrets.token_hex(8)}", b"{}")
        self.runs.remove(job)

    def _remove_report(self, name: str) -> None:
        digest, _, identity = name.partition("/")
        remove_report(self.data_dir, digest, identity)

    def _remove_runs(self, listing: Mapping[str, str]) -> None:
        for key in listing:
            job = key.removeprefix(_RUNS_DELETED).partition("/")[0]
            if not key.startswith(_RUNS_DELETED) or not JOB.fullmatch(job):
                continue
            folder = run_folder(self.data_dir, job).path
            if folder.is_dir() and (handle := hold(folder / "lock")) is not None:
                aside = folder.with_name(f".deleted-{job}-{secrets.token_hex(4)}")
                os.rename(folder, aside)
                os.close(handle)
                shutil.rmtree(aside, ignore_errors=True)


@cache
def _opened(url: str, data_dir: Path, _process: int) -> Store:
    return Store(open_objects(url), data_dir)


def open_store(settings: Settings) -> Store | None:
    """The store that settings name, one for a process; None where they name none.

    Raises InvalidValue, Unavailable without the packages for it.  Reaches for nothing yet.
    """
    # Threads and connections do not survive a fork: a worker's child has a store of its own.
    return _opened(settings.store, settings.data_dir, os.getpid()) if settings.store else None


def _dataset_is_here(record: Mapping[str, Any], folder: Path) -> bool:
    if record.get("content"):
        return (folder / str(record["content"])).is_dir()
    return record.get("path") is not None or (folder / "upload.zip").is_file()


def _report_is_here(record: Mapping[str, Any], folder: Path) -> bool:
    return record.get("status") != "complete" or (folder / "report.json").is_file()
