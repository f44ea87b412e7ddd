"""What holds a patient's images, or was made from them: datasets, runs, versions, studies, …"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from library import generate_jobs
from library.atomic import read_json
from library.datasets.index import NAME, Index, as_bytes
from library.datasets.records import folder_of, list_records, read_record
from library.decoding.identifiers import hashed
from library.errors import Conflict, InvalidValue, NotFound
from library.reader_studies.forgetting import holding
from library.runs import RunFolder
from library.studies.folder import studies
from library.versions import ModelLibrary, Version

FEATURES = "features"  # of all images, by a digest of many: it goes whole
_OF_FILES = "WHERE sha256 IN (SELECT value FROM json_each(?))"
_NEAR = """
SELECT other.sha256 AS sha256 FROM files AS one
JOIN near ON one.id IN (near.one, near.other)
JOIN files AS other ON other.id IN (near.one, near.other) AND other.id != one.id
WHERE one.sha256 IN (SELECT value FROM json_each(?))
"""


@dataclass(frozen=True)
class Affected:
    """What holds a patient's images, or was made from them; names as they are on disk."""

    datasets: dict[str, int]  # id -> images
    in_place: dict[str, int]  # datasets whose source files stay where they are: the operator's
    runs: tuple[str, ...]
    checkpoints: int
    versions: tuple[str, ...]
    reports: tuple[str, ...]
    studies: tuple[str, ...]
    caches: tuple[str, ...]
    reader_studies: tuple[str, ...]  # that show one of these images
    generated: tuple[str, ...]  # generate jobs of these versions, or of such as were retired before

    def and_before(self, listed: Mapping[str, Any]) -> Affected:
        """With what was listed before, of which a part may have gone by now."""
        found: dict[str, Any] = {}
        for name, now in self.as_dict().items():
            before = listed[name]
            if isinstance(now, dict):
                found[name] = {**now, **before}
            elif isinstance(now, int):
                found[name] = max(now, before)
            else:
                found[name] = tuple(dict.fromkeys([*before, *now]))
        return Affected(**found)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __bool__(self) -> bool:
        return bool(self.datasets)


@dataclass(frozen=True)
class Found:
    """Images of one dataset that show the patient: ids of their rows, digests of their files."""

    record: dict[str, Any]
    rows: tuple[int, ...]
    digests: frozenset[str]


def by_patient(data_dir: Path, patient: str) -> list[Found]:
    """The images of a patient's id, by each dataset's own salt; and every copy of them."""
    digests: set[str] = set()
    for _, index, salt in _indexes(data_dir):
        with index:
            name = hashed(salt, "patient", patient)
            digests |= {
                row["sha256"] for row in index.pictures("sha256", "WHERE patient = ?", name)
            }
    return _copies(data_dir, digests)


def by_file(data_dir: Path, dataset: str, path: str) -> list[Found]:
    """The image of a file and its patient's others; and every copy of them."""
    record = read_record(data_dir, dataset)
    if not record["content"]:
        raise Conflict(
            f"The dataset {dataset} is {record['status']}: nothing was found in it yet.",
            field="dataset",
            value=dataset,
            remedy="Wait until it is ready, or name the patient.",
        )
    if (opened := _opened(data_dir, record)) is None:
        raise NotFound(
            f"What was found in the dataset {dataset} is not on this machine.",
            field="dataset",
            value=dataset,
        )
    _, index, _ = opened
    with index:
        row = next(
            index.rows("patient, sha256", "WHERE path = CAST(? AS TEXT)", as_bytes(path)), None
        )
        if row is None or row["sha256"] is None:
            raise InvalidValue(
                f"The dataset {dataset} holds no image {path!r}.",
                field="file",
                value=path,
                remedy=f"GET /datasets/{dataset}/files lists them.",
            )
        others = index.pictures("sha256", "WHERE patient = ?", row["patient"])
        digests = {row["sha256"], *(other["sha256"] for other in others)}
    return _copies(data_dir, digests)


def _copies(data_dir: Path, digests: set[str]) -> list[Found]:
    """Every image of these files in every dataset, under whatever name or patient, and what is
    nearly the same as one of them."""
    for _, index, _ in _indexes(data_dir):
        with index:
            near = index.query(_NEAR, json.dumps(sorted(digests)))
            digests = digests | {row["sha256"] for row in near}
    return of_files(data_dir, frozenset(digests))


def of_files(data_dir: Path, digests: frozenset[str]) -> list[Found]:
    """The images of these files in every dataset."""
    found = []
    for record, index, _ in _indexes(data_dir):
        with index:
            rows = list(index.pictures("id, sha256", _OF_FILES, json.dumps(sorted(digests))))
        seen = frozenset(row["sha256"] for row in rows)
        found.append(Found(record, tuple(row["id"] for row in rows), seen))
    return [each for each in found if each.rows]


def _indexes(data_dir: Path) -> Iterator[tuple[dict[str, Any], Index, bytes]]:
    for record in list_records(data_dir):
        if record["content"] and (opened := _opened(data_dir, record)) is not None:
            yield opened


def _opened(data_dir: Path, record: dict[str, Any]) -> tuple[dict[str, Any], Index, bytes] | None:
    """What was found in a dataset at last; None where there is nothing, or not on this machine."""
    folder = folder_of(data_dir, record["id"])
    while True:
        path = folder / record["content"] / NAME
        try:
            salt = (folder / "salt").read_bytes()
            return record, Index(path), salt
        except (sqlite3.OperationalError, FileNotFoundError):
            # A validation that ended may just have put another in its place.
            before = record["content"]
            try:
                record = read_record(data_dir, record["id"])
            except NotFound:
                return None
            if record["content"] == before:
                if path.is_file():
                    raise
                return None


def affected(data_dir: Path, found: Sequence[Found]) -> Affected:
    """What is to go; nothing is changed."""
    digests = frozenset().union(*(each.digests for each in found)) if found else frozenset()
    ids = {each.record["id"] for each in found}
    runs = [run for run in _runs(data_dir) if _trained_on(run, digests)]
    versions, made = _versions(data_dir, ids, runs)
    return Affected(
        {each.record["id"]: len(each.rows) for each in found},
        {each.record["id"]: len(each.rows) for each in found if each.record["path"] is not None},
        tuple(run.path.name for run in runs),
        sum(len(list(run.checkpoints.glob("*.safetensors"))) for run in runs),
        tuple(version.reference for version in versions),
        _reports(data_dir, versions, ids),
        tuple(sorted(s.id for s in studies(data_dir) if s.record["dataset"] in ids)),
        (
            *(path.stem for path in caches(data_dir, digests)),
            *([FEATURES] if found and (data_dir / FEATURES).is_dir() else []),
        ),
        tuple(study.id for study in holding(data_dir, digests)),
        tuple(sorted(j.id for j in generate_jobs.jobs(data_dir) if j.record["digest"] in made)),
    )


def _reports(data_dir: Path, versions: Sequence[Version], ids: set[str]) -> tuple[str, ...]:
    """All on these versions, and those on any version that were made with these datasets: they
    hold pairs and thumbnails of real images."""
    root = data_dir / "reports"
    found = [path for version in versions for path in (root / version.digest).glob("*")]
    for record in root.glob("*/rp-*.json"):
        if read_json(record).get("request", {}).get("dataset") in ids:
            found += [record, *record.parent.glob(f"{record.stem}*")]
    names = {f"{path.parent.name}/{path.name}" for path in found if path.name != ".lock"}
    return tuple(sorted(names))


def _runs(data_dir: Path) -> list[RunFolder]:
    return [RunFolder(path.parent) for path in sorted((data_dir / "runs").glob("*/files.json"))]


def _trained_on(run: RunFolder, digests: frozenset[str]) -> bool:
    return any(digest in digests for _, digest in read_json(run.files).values())


def _versions(
    data_dir: Path, ids: set[str], runs: Sequence[RunFolder]
) -> tuple[list[Version], set[str]]:
    """Versions that these runs made, or datasets whose runs are gone; and what came of them.

    Those that are not retired yet, and the digests of all.
    """
    jobs = {run.path.name for run in runs}
    known = {run.path.name for run in _runs(data_dir)}
    library = ModelLibrary(data_dir / "models", bundled=None)
    usable = library.whole()
    every = [*usable, *library.retired()]  # what came of a retired one may still be there
    published = {read_json(run.published)["digest"] for run in runs if run.published.is_file()}
    gone = published | {
        version.digest
        for version in every
        if version.card.get("job") in jobs
        or (
            version.card.get("job") not in known
            and version.card.get("dataset", {}).get("id") in ids
        )
    }
    while True:
        heirs = {
            version.digest
            for version in every
            if version.digest not in gone and gone & set(map(str, version.card.get("ancestry", ())))
        }
        if not heirs:
            return [version for version in usable if version.digest in gone], gone
        gone |= heirs


def caches(data_dir: Path, digests: frozenset[str]) -> list[Path]:
    """Indexes of decoded arrays that hold one of these files."""
    return [
        path
        for path in sorted((data_dir / "decoded").glob("*.json"))
        if digests & set(read_json(path).get("files", ()))
    ]
