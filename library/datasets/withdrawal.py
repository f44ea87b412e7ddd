"""A patient withdraws: everything that holds, or was made from, their images is found and goes.

The order is such that a process that is killed half way can do it all again: what is derived goes
first, the index, by which it is found, last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from library.atomic import read_json, write_bytes, write_json
from library.datasets import statistics
from library.datasets.choices import resolve
from library.datasets.fingerprints import fingerprint
from library.datasets.index import LEFT_OUT, NAME, Index
from library.datasets.reading import WITHDRAWN
from library.datasets.records import change_record, folder_of
from library.datasets.sheets import View, before_after, chosen
from library.datasets.tracing import FEATURES, Found, affected, caches
from library.datasets.validation import SHEET, SHEET_RESOLUTION, SHOWN
from library.decoding.pool import Decoders
from library.digest import digest_json
from library.locks import waiting
from library.reader_studies.forgetting import forget
from library.runs import RunFolder
from library.studies import folder as studies
from library.version_states import retire
from library.versions import ModelLibrary

FILES = "files.json"
Versions = Literal["retire", "delete"]


def withdraw(
    data_dir: Path,
    found: Sequence[Found],
    versions: Versions = "retire",
    progress: Callable[[str], None] = lambda _what: None,
) -> dict[str, Any]:
    """Let everything go that `affected` lists, and write the receipt; returns it.

    Runs lose their checkpoints and sample grids, versions are retired (never served again) or
    deleted, their reports, studies and decoded arrays are deleted, images in reader studies made
    black; each dataset forgets the images, and leaves them out when it is validated again.  Source
    files of a folder in place are the operator's to delete.
    """
    listed = affected(data_dir, found)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    digests = frozenset().union(*(each.digests for each in found)) if found else frozenset()
    remember(data_dir, digests)
    for cache in caches(data_dir, digests):
        cache.unlink(missing_ok=True)
        cache.with_suffix(".npy").unlink(missing_ok=True)
    shutil.rmtree(data_dir / FEATURES, ignore_errors=True)
    progress("caches")
    forget(data_dir, digests)
    progress("reader studies")
    for name in listed.reports:
        path = data_dir / "reports" / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    progress("reports")
    for identity in listed.studies:  # their pixels, generators and predictions
        study = studies.find(data_dir, identity)
        if study.status not in studies.ENDED:
            study.finish("cancelled")  # its worker ends, and takes with it what it makes since
        studies.remove(data_dir, identity)
    progress("studies")
    for name in listed.runs:
        run = RunFolder(data_dir / "runs" / name)
        for folder in (run.checkpoints, run.path / "samples", run.figures):
            shutil.rmtree(folder, ignore_errors=True)
    progress("checkpoints")
    library = ModelLibrary(data_dir / "models")
    for reference in listed.versions:
        version = library.find_held(reference)
        retire(version, f"a patient of its training data withdrew on {now[:10]}", versions)
    progress("versions")
    fingerprints = {}
    for each in found:
        identity = each.record["id"]
        before = each.record["fingerprint"]
        after = _forget(data_dir, each)
        fingerprints[identity] = {"before": before, "after": after}
        progress(identity)
    receipt = {
        "id": f"w-{digest_json([now, listed.as_dict()])[:12]}",
        "created_at": now,
        "versions_were": f"{versions}d",
        "fingerprints": fingerprints,
        **listed.as_dict(),
    }
    write_json(data_dir / "withdrawals" / f"{receipt['id']}.json", receipt)
    return receipt


def withdrawn_files(data_dir: Path) -> frozenset[str]:
    """Digests of files that must not come into any dataset again."""
    path = data_dir / "withdrawals" / FILES
    return frozenset(read_json(path)) if path.is_file() else frozenset()


def remember(data_dir: Path, digests: frozenset[str]) -> None:
    folder = data_dir / "withdrawals"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with waiting(folder / ".lock"):
        write_json(folder / FILES, sorted(withdrawn_files(data_dir) | digests))


def receipts(data_dir: Path) -> list[dict[str, Any]]:
    """What was withdrawn, the newest first."""
    found = [read_json(path) for path in (data_dir / "withdrawals").glob("w-*.json")]
    return sorted(found, key=lambda receipt: str(receipt["created_at"]), reverse=True)


def _forget(data_dir: Path, found: Found) -> str:
    """Take images out of a dataset's index, and its record as it is then; its fingerprint."""
    record, identity = found.record, found.record["id"]
    content = folder_of(data_dir, identity) / record["content"]
    path, fresh = content / NAME, content / f".{NAME}.tmp"
    # A copy is changed and put in place, since readers take an index as unchanging.
    shutil.copyfile(path, fresh)
    index = Index(fresh, write=True)
    with index:
        rows = json.dumps(list(found.rows))  # one parameter, however many they are
        stored = [
            row["stored"]
            for row in index.rows("stored", "WHERE id IN (SELECT value FROM json_each(?))", rows)
        ]
        index.execute("PRAGMA secure_delete = ON")
        index.execute("DELETE FROM near WHERE one IN (SELECT value FROM json_each(?))", rows)
        index.execute("DELETE FROM near WHERE other IN (SELECT value FROM json_each(?))", rows)
        index.execute(
            "UPDATE files SET status = ?, reason = ?, split = NULL, position = NULL, "
            "patient = NULL, sop = NULL, accession = NULL, covariates = '{}', stored = NULL, "
            "flags = '' WHERE id IN (SELECT value FROM json_each(?))",
            LEFT_OUT, WITHDRAWN, rows,
        )  # fmt: skip
        index.execute("DELETE FROM pictures WHERE id IN (SELECT value FROM json_each(?))", rows)
        index.commit()
        index.execute("VACUUM")
        choices = resolve(record["choices"])
        counted = statistics.counts(index)
        fields = {
            **counted,
            "fingerprint": fingerprint(index, choices),
            "duplicates": statistics.duplicates(index),
            **statistics.reasons(index),
            "statistics": statistics.shapes(index),
            "status": "ready" if counted["images"] else "failed",
        }
    write_bytes(path, fresh.read_bytes())
    fresh.unlink()
    for name in stored:
        if name:
            (content / name).unlink(missing_ok=True)
    change_record(data_dir, identity, fields)
    _draw(content, record)
    return str(fields["fingerprint"])


def _draw(content: Path, record: dict[str, Any]) -> None:
    """The sheet anew: the one that was may show the patient."""
    choices = resolve(record["choices"])
    root = None if record["path"] is None else Path(record["path"])

    def locate(row: Any) -> Path:
        return content / str(row["stored"]) if row["stored"] else (root or content) / row["path"]

    window, before = (choices.window, "stored") if root is not None else ("file", "file")
    view = View(SHEET_RESOLUTION, choices.fit, window, choices.mask)
    (content / SHEET).unlink(missing_ok=True)
    with Index(content / NAME) as index, Decoders(1) as decoders:
        rows = chosen(index, SHOWN)
        write_bytes(content / SHEET, before_after(rows, locate, view, decoders, before))
