"""Run folders in the store: each push a manifest of its own, the newest attempt's newest counts.

files/runs/{job}/{attempt}/{sequence}.json   a manifest
files/runs/{job}/{attempt}/{sha256}          a file

The attempt is the fence.  A worker that has lost its lease and does not know it yet goes on under
its own attempt: whatever it pushes lies there, and nobody looks at it once a later attempt is
there.  It never touches a later one's objects, and learns at its next push that it is too late.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.atomic import new_folder, read_json, sync_folder, sync_tree, write_json
from library.errors import Conflict
from library.runs import NOISE_KEY, FolderBusy, RunFolder, run_folder
from library.store.folders import Damaged, Pusher, download, read_manifest
from library.store.objects import Missing, Objects
from library.store.snapshots import snapshot

PREFIX = "files/runs/"
JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
STAMP = "store.json"  # in a run folder: which attempt it is of, and whether it is all of it
LOCK_SECONDS = 20.0  # an earlier trainer may be writing its last checkpoint
_MANIFEST = re.compile(r"files/runs/[^/]+/([0-9]{6})/([0-9]{8})\.json")


class Superseded(Conflict):
    slug, title = "superseded", "A later attempt has the run"


@dataclass(frozen=True, order=True)
class Place:
    """Where a run stands in the store."""

    attempt: int
    sequence: int

    def key(self, job: str) -> str:
        return f"{PREFIX}{job}/{self.attempt:06d}/{self.sequence:08d}.json"


class SharedRuns:
    """The run folders of a data folder and those of the store.  Methods raise StoreAway."""

    def __init__(self, objects: Objects, data_dir: Path) -> None:
        self._objects, self._data_dir = objects, data_dir
        self._pushers: dict[str, Pusher] = {}  # by job: digests of its files

    def jobs(self) -> list[str]:
        """Jobs that have a run folder in the store."""
        listed = self._objects.list(PREFIX)
        return sorted({key.split("/")[2] for key in listed if _MANIFEST.fullmatch(key)})

    def newest(self, job: str) -> Place | None:
        return max(_places(self._objects.list(f"{PREFIX}{_checked(job)}/")), default=None)

    # Out

    def push(self, job: str, attempt: int) -> Place:
        """Upload the run folder as it is now.

        Raises Superseded when a later attempt is there or the job is deleted, OSError.
        """
        listed = self._objects.list(f"{PREFIX}{_checked(job)}/")
        places = _places(listed)
        last = max(places, default=Place(0, 0))
        if last.attempt > attempt or self._deleted(job):
            raise Superseded(
                f"The run {job} is at attempt {last.attempt} in the store, or deleted: attempt "
                f"{attempt} is not taken any more.",
                field="attempt",
                value=attempt,
            )
        place = Place(attempt, last.sequence + 1 if last.attempt == attempt else 1)
        run = run_folder(self._data_dir, job)
        pusher = self._pushers.setdefault(job, Pusher(self._objects))
        with new_folder(run.path.parent, f"push-{job}") as folder:
            files = snapshot(run, folder / "run")
            manifest = pusher.push(
                files, f"{PREFIX}{job}/{attempt:06d}", place.key(job), {"attempt": attempt}
            )
        if manifest is None:  # only we push this attempt, so another process is it, too
            raise Superseded(f"Another worker has attempt {attempt} of {job}, too.")
        self._tidy(job, place, listed, manifest.objects())
        return place

    def strip(self, job: str, gone: Callable[[str], bool]) -> None:
        """Take files out of a run for good (a withdrawal); they may be named again."""
        for _ in range(2):  # the one before is kept, so twice
            place = self.newest(job)
            if place is None:
                return
            manifest = read_manifest(self._objects, place.key(job))
            kept = {name: file for name, file in manifest.files.items() if not gone(name)}
            with new_folder(self._data_dir / "runs", f"push-{job}") as folder:
                download(self._objects, manifest, folder, want=lambda name: name in kept)  # noqa: B023
                files = {name: folder / name for name in kept}
                after = Place(place.attempt, place.sequence + 1)
                blobs = f"{PREFIX}{job}/{place.attempt:06d}"
                Pusher(self._objects).push(files, blobs, after.key(job), manifest.about)
            listed = self._objects.list(f"{PREFIX}{job}/")
            self._tidy(job, after, listed, {str(file["object"]) for file in kept.values()})

    def remove(self, job: str) -> None:
        self._objects.remove(sorted(self._objects.list(f"{PREFIX}{_checked(job)}/")))
        self._pushers.pop(job, None)

    def _tidy(self, job: str, place: Place, listed: Mapping[str, str], used: set[str]) -> None:
        """Remove what earlier attempts, and earlier pushes of this one but the last, have left."""
        before = Place(place.attempt, place.sequence - 1).key(job)
        if before in listed:
            with contextlib.suppress(Missing, Damaged):
                used = used | read_manifest(self._objects, before).objects()
        mine = f"{PREFIX}{job}/{place.attempt:06d}/"
        kept = {place.key(job), before} | used
        older = [key for key in listed if key < mine]
        own = [key for key in listed if key.startswith(mine) and key not in kept]
        self._objects.remove(sorted([*older, *own]))

    def _deleted(self, job: str) -> bool:
        return bool(self._objects.list(f"state/deleted/runs/{job}/"))

    # In

    def bring(self, job: str) -> Place | None:
        """Make the run folder here what the newest attempt has pushed, unless it is that already.

        For the worker that goes on with it.  Raises FolderBusy while an earlier trainer is still
        at work in it, Damaged, OSError.
        """
        run = run_folder(self._data_dir, job)
        for last in (False, True):
            place = self.newest(job)
            here, whole = _stamped(run)
            # Of an attempt that ran here the folder is at least as far as what was pushed.
            if place is None or (whole and here.attempt >= place.attempt):
                return place
            try:
                with run.lock(LOCK_SECONDS):
                    self._replace(job, run, place, whole=True)
                return place
            except Damaged:
                if last or self.newest(job) == place:  # else it was just replaced by a newer one
                    raise
        return place

    def show(self, job: str) -> None:
        """Bring what the API shows of a run: all but checkpoints, where it does not run here."""
        run = run_folder(self._data_dir, job)
        place = self.newest(job)
        here, whole = _stamped(run)
        if place is None or here == place or (whole and here.attempt >= place.attempt):
            return
        with contextlib.suppress(FolderBusy, Damaged), run.lock():
            if _stamped(run) == (here, whole):
                self._replace(job, run, place, whole=False)

    def attempt_here(self, job: str) -> int:
        """Of which attempt the run folder here is; 0: of none that is known."""
        return _stamped(run_folder(self._data_dir, job))[0].attempt

    def begin(self, job: str, attempt: int) -> None:
        """Say that this folder is the one of an attempt from now on."""
        run = run_folder(self._data_dir, job)
        run.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(run.path / STAMP, {"attempt": attempt, "sequence": 0, "whole": True})

    def _replace(self, job: str, run: RunFolder, place: Place, whole: bool) -> None:
        """Under the lock of the folder that is replaced."""
        try:
            manifest = read_manifest(self._objects, place.key(job))
        except Missing:
            raise Damaged(f"{place.key(job)} is gone.") from None
        with new_folder(run.path.parent, f"pull-{job}") as folder:
            download(
                self._objects,
                manifest,
                folder,
                want=lambda name: whole or not _of_trainer(name),
                reuse=run.path,
            )
            for name in ("job.json", "request.json"):  # the copy here is of the record as it is now
                if (run.path / name).is_file():
                    shutil.copyfile(run.path / name, folder / name)
            stamp: dict[str, Any] = {"attempt": place.attempt, "sequence": place.sequence}
            write_json(folder / STAMP, {**stamp, "whole": whole})
            sync_tree(folder)  # the stamp says that it need not be had again
            while True:
                aside = run.path.with_name(f".deleted-{job}-{secrets.token_hex(4)}")
                os.rename(run.path, aside)
                try:
                    os.rename(folder, run.path)
                except OSError:  # somebody has written the record's copy at this moment
                    if not run.path.is_dir():
                        raise
                    continue
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
                sync_folder(run.path.parent)
                return


def _checked(job: str) -> str:
    if not JOB.fullmatch(job):
        raise ValueError(f"{job!r} is no id of a job")
    return job


def _of_trainer(name: str) -> bool:
    """What nobody but whoever trains on has a use for, and no API's disk is to hold."""
    return name.startswith("checkpoints/") or name == NOISE_KEY


def _places(listed: Mapping[str, str]) -> list[Place]:
    found = (_MANIFEST.fullmatch(key) for key in listed)
    return [Place(int(match[1]), int(match[2])) for match in found if match is not None]


def _stamped(run: RunFolder) -> tuple[Place, bool]:
    try:
        stamp = read_json(run.path / STAMP)
        return Place(int(stamp["attempt"]), int(stamp["sequence"])), bool(stamp["whole"])
    except (OSError, ValueError, KeyError, TypeError):
        return Place(0, 0), False
