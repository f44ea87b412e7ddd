"""Reports on versions, as they lie on the disk: a record each, and the folder of a finished one.

{root}/{version digest}/{id}.json   the record: status, progress, lights, error, what was asked for
{root}/{version digest}/{id}.log    what its evaluation had to say beside that
{root}/{version digest}/{id}/       report.json, report.html, CARD.md, figures/, tables/, …;
                                    operator/ holds what shows patients and is never exported

Roots: {data dir}/reports, and that of the bundled versions, which is read in place.  A folder
is renamed into place when it is whole and then never changes; a rerun is another report.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.errors import Conflict, NotFound
from library.locks import waiting
from library.logs import request_id
from library.revisions import revised
from library.versions import Version

BUNDLED = Path(__file__).resolve().parent.parent / "docs" / "reports"
IDENTITY = re.compile(r"rp-[0-9a-f]{12}")
OPERATOR = "operator"  # the sub-folder that shows patients
COPIES = "copies.npz"  # in it: what `reject_near_copies` compares with
ENDED = frozenset({"complete", "failed"})
_EMPTY: dict[str, Any] = {
    "status": "pending",  # running, complete, failed
    "progress": None,  # {"phase", "fraction"}
    "lights": {},
    "error": None,
    "gate": False,  # its version waits for it: released when no light is red
    "job": None,
    "request_id": None,  # under which it is logged, whoever takes it up
}


def reports_root(data_dir: Path) -> Path:
    return data_dir / "reports"


def begin_report(
    data_dir: Path,
    version: Version,
    request: Mapping[str, Any],
    gate: bool = False,
    job: str | None = None,
) -> dict[str, Any]:
    """The record of a new report, pending.

    request: what `python -m evaluation version` is to be told: dataset (an id or null: the one
    that the version was trained on), count, seed.
    """
    identity = f"rp-{secrets.token_hex(6)}"
    fields = {
        "id": identity,
        "created_at": round(time.time(), 3),
        "model": version.reference,
        "digest": version.digest,
        "request": dict(request),
        "request_id": request_id.get(),
        "gate": gate,
        "job": job,
    }
    record = revised(_EMPTY, fields)
    folder = reports_root(data_dir) / version.digest
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_json(folder / f"{identity}.json", record)
    return record


def change_report(data_dir: Path, digest: str, identity: str, fields: Mapping[str, Any]) -> bool:
    """Change some fields of a record that is there; False when it is not."""
    folder = reports_root(data_dir) / digest
    path = folder / f"{identity}.json"
    try:
        with waiting(folder / ".lock"):
            write_json(path, revised(read_json(path), fields))
    except FileNotFoundError:  # deleted, or all reports on its version are
        return False
    return True


def find_record(data_dir: Path, identity: str) -> dict[str, Any]:
    """The record of a report in the data folder, whatever its version.  Raises NotFound."""
    if IDENTITY.fullmatch(identity):
        for record in _records(reports_root(data_dir), None, identity):
            return record
    raise NotFound(f"There is no report {identity!r}.", field="report", value=identity)


def remove_report(data_dir: Path, digest: str, identity: str) -> bool:
    """Really delete a report; False when it does not lie in the data folder."""
    folder = reports_root(data_dir) / digest
    path, content = folder / f"{identity}.json", folder / identity
    there = path.is_file() or content.is_dir()
    with contextlib.suppress(FileNotFoundError), waiting(folder / ".lock"):
        path.unlink(missing_ok=True)
    log_of(data_dir, digest, identity).unlink(missing_ok=True)
    shutil.rmtree(content, ignore_errors=True)
    return there


def log_of(data_dir: Path, digest: str, identity: str) -> Path:
    """Where the words of the evaluation go, for the operator."""
    return reports_root(data_dir) / digest / f"{identity}.log"


def list_reports(
    data_dir: Path, digest: str | None = None, bundled: Path | None = BUNDLED
) -> list[dict[str, Any]]:
    """Records of the reports on a version (None: on all), newest first."""
    found = [record for root in _roots(data_dir, bundled) for record in _records(root, digest)]
    return sorted(found, key=lambda record: (-float(record["created_at"]), record["id"]))


def find_report(
    data_dir: Path, digest: str, identity: str, bundled: Path | None = BUNDLED
) -> tuple[dict[str, Any], Path]:
    """A report's record and folder; `latest`: the newest that is complete.

    Raises NotFound; Conflict for one that is not complete (the record is its `value`).
    """
    records = list_reports(data_dir, digest, bundled)
    if identity == "latest":
        complete = [record for record in records if record["status"] == "complete"]
        if not complete:
            raise NotFound(
                "There is no complete report on this version.",
                field="report",
                value=identity,
                remedy="POST /models/NAME@VERSION/reports makes one.",
            )
        record = complete[0]
    else:
        named = [record for record in records if record["id"] == identity]
        if not named:
            raise NotFound(f"There is no report {identity!r} on this version.", field="report")
        record = named[0]
    if record["status"] != "complete":
        raise Conflict(
            f"The report {identity} is {record['status']}.",
            field="report",
            value=identity,
            remedy="GET /models/NAME@VERSION/reports says how far it is, or what is wrong.",
        )
    for root in _roots(data_dir, bundled):
        folder = root / digest / str(record["id"])
        if (folder / "report.json").is_file():
            return record, folder
    raise NotFound(f"The folder of the report {record['id']} is gone.", field="report")


def _roots(data_dir: Path, bundled: Path | None) -> list[Path]:
    return [reports_root(data_dir), *([] if bundled is None else [bundled])]


def _records(root: Path, digest: str | None, identity: str = "rp-*") -> Iterator[dict[str, Any]]:
    for path in root.glob(f"{digest or '*'}/{identity}.json"):
        try:
            record = read_json(path)
        except (OSError, ValueError):
            continue  # damaged, or just removed
        if isinstance(record, dict) and record.get("id") == path.stem:
            yield {**_EMPTY, **record}
