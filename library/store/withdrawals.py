"""Withdrawals in the store: what a patient's images have left goes there and on every machine.

state/withdrawals/{id}.json                 a receipt: runs, versions, reports, caches; no names
state/withdrawals/{id}.files.json           digests of files that must not come back
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.datasets.forgetting import forget_files
from library.datasets.tracing import FEATURES
from library.datasets.withdrawal import remember, withdrawn_files
from library.errors import SynthoraxError
from library.locks import waiting
from library.runs import run_folder
from library.store.generated import SharedGenerateJobs
from library.store.objects import Missing, Objects
from library.store.records import SharedRecords
from library.store.runs import SharedRuns
from library.store.versions import SharedVersions

_PREFIX = "state/withdrawals/"
_RECEIPT = re.compile(r"state/withdrawals/(w-[0-9a-f]{12})\.json")
_SHOWS = ("checkpoints", "samples", "figures")  # folders of a run that show, or can make, images


class SharedWithdrawals:
    """Methods raise StoreAway."""

    def __init__(
        self,
        objects: Objects,
        data_dir: Path,
        versions: SharedVersions,
        runs: SharedRuns,
        datasets: SharedRecords,
        reports: SharedRecords,
        generated: SharedGenerateJobs,
    ) -> None:
        self._objects, self._folder = objects, data_dir / "withdrawals"
        self._data_dir, self._versions, self._runs = data_dir, versions, runs
        self._datasets, self._reports, self._generated = datasets, reports, generated

    def gather(self) -> None:
        """Have here whatever may hold a patient's images or come of them."""
        for name in self._datasets.names():
            self._datasets.bring(name)
        for job in self._runs.jobs():
            self._runs.show(job)

    def push(self, receipt: Mapping[str, Any]) -> None:
        """Let go in the store what was let go here.  May be done again, by one at a time."""
        with waiting(self._folder / ".push.lock"):
            self._push(receipt)

    def _push(self, receipt: Mapping[str, Any]) -> None:
        for name in receipt["datasets"]:
            self._push_dataset(name)
        for reference in receipt["versions"]:
            self._versions.tell(*reference.rsplit("@", 1))
        for job in receipt["runs"]:
            self._runs.strip(job, lambda name: name.split("/")[0] in (*_SHOWS, "checkpoints.json"))
        for report in {_report(path) for path in receipt["reports"]}:
            self._reports.remove(report)
        for job in receipt.get("generated", ()):
            self._generated.remove(job)
        key = f"{_PREFIX}{receipt['id']}"
        digests = json.dumps(sorted(withdrawn_files(self._data_dir))).encode()
        self._objects.write(f"{key}.files.json", digests)
        self._objects.write(f"{key}.json", json.dumps(receipt).encode())  # last: it is done

    def _push_dataset(self, name: str) -> None:
        """A dataset that has forgotten files; a newer one, of elsewhere, forgets them first."""
        with suppress(Missing):  # it was deleted since
            while not self._datasets.push(name):
                self._datasets.bring(name)
                forget_files(self._data_dir, name, withdrawn_files(self._data_dir))

    def push_missing(self, listing: Mapping[str, str]) -> None:
        """Finish what a process that was killed, or a store that was away, has left."""
        for path in sorted(self._folder.glob("w-*.json")):
            if f"{_PREFIX}{path.name}" not in listing:
                self.push(read_json(path))

    def pull(self, listing: Mapping[str, str]) -> None:
        """Let go here what was let go elsewhere."""
        for key in listing:
            match = _RECEIPT.fullmatch(key)
            if match is None or (self._folder / f"{match[1]}.json").is_file():
                continue
            try:
                receipt = json.loads(self._objects.read(key))
                digests = json.loads(self._objects.read(f"{_PREFIX}{match[1]}.files.json"))
            except (Missing, ValueError) as error:
                raise SynthoraxError(
                    f"The withdrawal {match[1]} in the store is damaged ({error}).",
                    remedy="Bring back the object's earlier version: images that were withdrawn "
                    "may still be here.",
                ) from None
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            remember(self._data_dir, frozenset(digests))
            for name in receipt["runs"]:
                for folder in _SHOWS:
                    path = run_folder(self._data_dir, Path(name).name).path / folder
                    shutil.rmtree(path, ignore_errors=True)
            for path in (self._data_dir / "decoded").glob("*.json"):
                if digests and set(read_json(path).get("files", ())) & set(digests):
                    # The pixels first: they are found by the other.
                    path.with_suffix(".npy").unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
            shutil.rmtree(self._data_dir / FEATURES, ignore_errors=True)
            write_json(self._folder / f"{match[1]}.json", receipt)


def _report(path: str) -> str:
    """DIGEST/rp-… of a report's record, log or folder."""
    return re.sub(r"\.(json|log)$", "", path)
