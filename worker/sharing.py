"""A job's run folder and the store: brought before an attempt, pushed as it goes, handed over last.

Nothing here keeps the trainer waiting.  A store that is away is asked again with growing pauses;
the trainer goes on meanwhile, and the job succeeds when its version is in the store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from library.atomic import read_json, write_json
from library.datasets.records import folder_of, read_record
from library.errors import NotFound
from library.reports import find_record
from library.runs import run_folder
from library.store.objects import Missing, StoreAway
from library.store.runs import Place, Superseded
from library.store.shared import Store
from worker.link import Link

logger = logging.getLogger("synthorax.worker")

PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 30.0  # between two tries of a store that is away
REST = 4.0  # times as long as a push took, before the next
SETTLE_SECONDS = 20.0  # for the last push of an attempt that does not end well
_TICK_SECONDS = 0.2

T = TypeVar("T")


class Stopped(Exception):
    """The job is cancelled, lost, or its worker is being stopped, while the store is waited for."""


class Sharing:
    """One job.  superseded: a later attempt has the run."""

    def __init__(self, store: Store, link: Link, stopping: Callable[[], bool]) -> None:
        self._store, self._link, self._stopping = store, link, stopping
        self._pool = ThreadPoolExecutor(1, "store")
        self._push: Future[Any] | None = None
        self._wanted = False
        self._pause, self._not_before, self._began = PAUSE_SECONDS, 0.0, 0.0
        self._told = False  # that the store is away
        self._attempt = 0
        self.superseded = False

    def bring(self, attempt: int) -> int:
        """Have here what the attempt goes on with; the number that it has.

        An attempt that is in the store already (Redis had lost the record) is not had again.
        Raises Stopped, FolderBusy, Damaged, OSError.
        """
        job, store, request = self._link.job, self._store, self._link.record["request"]
        dataset = request["dataset"]["id"]

        def bring() -> Place | None:
            store.refresh()
            store.datasets.bring(dataset)
            return store.runs.bring(job)

        try:
            place = self._once(bring) if attempt == 1 else self.insist(bring)
        except StoreAway:  # a first attempt may begin without it
            place = None if self._lies_here(request["dataset"]) else self.insist(bring)
        attempt = max(attempt, place.attempt + 1 if place else 1)
        if store.runs.attempt_here(job) <= request.get("resumed_after", -1):
            # An early end was decided for the run as it was before it was resumed.
            run_folder(store.data_dir, job).finish.unlink(missing_ok=True)
        store.runs.begin(job, attempt)
        self._attempt = attempt
        return attempt

    def _lies_here(self, dataset: Mapping[str, Any]) -> bool:
        """Whether a dataset can be read without the store."""
        if dataset["path"] is not None:
            return True
        try:
            content = read_record(self._store.data_dir, dataset["id"])["content"]
        except NotFound:
            return False
        return bool(content) and (folder_of(self._store.data_dir, dataset["id"]) / content).is_dir()

    def push_soon(self) -> None:
        """There is a new checkpoint."""
        self._wanted = True

    def tick(self) -> None:
        """Look after pushes; called again and again while the trainer works."""
        if self._push is not None and self._push.done():
            push, self._push = self._push, None
            self._took(push)
        if self._push is None and self._wanted and time.monotonic() >= self._not_before:
            self._wanted = False
            self._began = time.monotonic()
            self._push = self._pool.submit(self._store.runs.push, self._link.job, self._attempt)

    def _took(self, push: Future[Any]) -> None:
        try:
            push.result()
            self._back()
            # Checkpoints that come faster than they go up leave the wire free most of the time.
            ended = time.monotonic()
            self._not_before = ended + REST * (ended - self._began)
        except StoreAway as error:
            self._away(error, "training goes on, its checkpoints are put there later")
            self._wanted = True
        except Superseded as error:
            logger.warning("%s: %s", self._link.job, error)
            self.superseded = True
        except OSError as error:
            logger.warning("%s: no push (%s)", self._link.job, error)

    def settle(self) -> None:
        """Push what there is at an attempt's end, for as long as is bearable."""
        self._wanted, self._not_before = not self.superseded, 0.0
        until = time.monotonic() + SETTLE_SECONDS
        while (self._wanted or self._push is not None) and time.monotonic() < until:
            self._link.sync()
            if self._told or self._link.lost or self.superseded:
                return  # what was pushed before is gone on with: it ends in the same weights
            self.tick()
            time.sleep(_TICK_SECONDS)

    def hand_over(self, name: str | None) -> str | None:
        """Publish what the trainer has prepared, and push the run as it ended.

        The version's reference.  Waits for the store as long as it takes.  Raises Stopped,
        Superseded, Damaged, OSError.
        """
        job, store = self._link.job, self._store
        run, reference = run_folder(store.data_dir, job), None
        if name is not None:
            card = read_json(run.prepared / "model.json")
            library = store.library()
            version = self.insist(lambda: library.publish(name, run.prepared, card))
            write_json(run.published, {"model": version.reference, "digest": version.digest})
            reference = version.reference
        self.insist(lambda: store.runs.push(job, self._attempt))
        return reference

    def keep_dataset(self) -> None:
        """A folder in place, validated by the trainer, becomes known to others."""
        dataset = self._link.record["request"]["dataset"]
        if dataset["path"] is not None:
            try:
                self._pool.submit(self._store.datasets.push, dataset["id"]).result(SETTLE_SECONDS)
            except (StoreAway, Missing, OSError, TimeoutError) as error:
                logger.warning("%s: %s is not put (%s)", self._link.job, dataset["id"], error)

    def keep_report(self, report: str) -> None:
        """Let other machines know of a report that is to be made."""
        digest = str(find_record(self._store.data_dir, report)["digest"])
        try:
            self.insist(lambda: self._store.reports.push(f"{digest}/{report}"))
        except (Stopped, Missing, OSError) as error:  # the light worker's look gives it, too
            logger.warning("%s: %s is not put (%s)", self._link.job, report, error)

    def insist(self, action: Callable[[], T]) -> T:
        """Do something with the store, waiting for it as long as it takes; the lease is kept."""
        while True:
            try:
                result = self._once(action)
            except StoreAway as error:
                self._away(error, "the job waits for it")
                while time.monotonic() < self._not_before:
                    self._wait(_TICK_SECONDS)
                continue
            self._back()
            return result

    def _once(self, action: Callable[[], T]) -> T:
        """The same, asking once."""
        found = self._pool.submit(action)
        while not found.done():
            self._wait(_TICK_SECONDS)
        return found.result()

    def _wait(self, seconds: float) -> None:
        self._link.sync()
        if self._link.lost or self._link.cancelled or self._stopping():
            raise Stopped
        time.sleep(seconds)

    def _away(self, error: StoreAway, meanwhile: str) -> None:
        if not self._told:
            logger.warning("%s: %s", self._link.job, error)
            self._link.log(f"The store is away: {meanwhile}.")
        self._told = True
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSE_SECONDS_MAX)

    def _back(self) -> None:
        if self._told:
            self._link.log("The store is back.", level="info")
        self._told, self._pause, self._not_before = False, PAUSE_SECONDS, 0.0

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
