"""A CSV beside the images: labels, patients, splits and covariates, joined to the files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from library.datasets.choices import COVARIATES, Choices
from library.datasets.index import ACCEPTED, LEFT_OUT, Index, as_bytes
from library.datasets.layout import SPLIT_OF, Layout, check_label, normal
from library.decoding.identifiers import hashed
from library.decoding.look import age_band
from library.errors import InvalidValue

CSV_MAX = 256 * 2**20  # bytes
_VALUES_MAX = 200  # different values of a covariate: more are no covariate, but identify

# Names of columns that are taken without being named, in lower case, letters and digits alone.
_KEYS = {
    "file": ("file", "filename", "image", "imageindex", "imagepath", "imagename", "path", "imageid",
             "imagefilename", "dicomid"),
    "sop": ("sopinstanceuid", "sopuid"),
    "accession": ("accessionnumber", "accession"),
}  # fmt: skip
_LABELS = ("label", "labels", "class", "finding", "findinglabels", "diagnosis", "target")
_PATIENTS = ("patient", "patientid", "subject", "subjectid", "group", "patientgroup")
_SPLITS = ("split", "partition", "subset")
_COVARIATES = {
    "view": ("view", "viewposition", "projection"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "age": ("age", "patientage", "ageyears"),
    "device": ("device", "scanner", "manufacturer"),
    "year": ("year", "studyyear", "acquisitionyear"),
}


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read; by: file, sop or accession."""

    key: str
    by: str
    label: str | None
    patient: str | None
    split: str | None
    covariates: Mapping[str, str]  # as it is kept -> the column


@dataclass(frozen=True)
class Joined:
    """What came of a table; unmatched: the first 100 keys that no file has."""

    name: str
    sha256: str
    columns: Columns
    rows: int
    matched: int
    unmatched: tuple[str, ...]
    without_row: int  # accepted files that the table does not know

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "sha256": self.sha256,
            "key": {"column": self.columns.key, "by": self.columns.by},
            "label": self.columns.label,
            "patient": self.columns.patient,
            "split": self.columns.split,
            "covariates": dict(self.columns.covariates),
            "rows": self.rows,
            "matched": self.matched,
            "unmatched_rows": self.rows - self.matched,
            "unmatched": list(self.unmatched),
            "files_without_row": self.without_row,
        }


def read(name: str, content: bytes, choices: Choices) -> tuple[Columns, csv.DictReader[str]]:
    """Its columns, and a reader of its rows.  Raises InvalidValue."""
    if len(content) > CSV_MAX:
        raise _wrong(f"The table {name!r} has {len(content)} bytes.", f"At most {CSV_MAX}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise _wrong(f"The table {name!r} is no text.", "Save it as CSV in UTF-8.")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [column for column in reader.fieldnames or [] if column]
    return _columns(name, header, choices), reader


def _columns(name: str, header: list[str], choices: Choices) -> Columns:
    plain = {_plain(column): column for column in reversed(header)}

    def given(field: str, column: str | None) -> str | None:
        if column is not None and column not in header:
            raise InvalidValue(
                f"The table {name!r} has no column {column!r}.",
                field=f"choices.{field}",
                value=column,
                remedy=f"Its columns are: {', '.join(header)}.",
            )
        return column

    def found(names: tuple[str, ...]) -> str | None:
        return next((plain[n] for n in names if n in plain), None)

    key = given("key_column", choices.key_column)
    by = None
    if key is not None:
        by = next((kind for kind, names in _KEYS.items() if _plain(key) in names), "file")
    else:
        for kind, names in _KEYS.items():
            if (key := found(names)) is not None:
                by = kind
                break
    if key is None or by is None:
        raise InvalidValue(
            f"The table {name!r} has no column that names files.",
            field="choices.key_column",
            value=None,
            remedy="Name the column of file names, SOPInstanceUIDs or accession numbers; its "
            f"columns are: {', '.join(header)}.",
        )
    if choices.covariates is None:
        covariates = {k: c for k, names in _COVARIATES.items() if (c := found(names)) is not None}
    else:
        covariates = {}
        for column in choices.covariates:
            kept = next((k for k, n in _COVARIATES.items() if _plain(column) in n), column)
            if column in COVARIATES and column not in header:  # a DICOM may tell it
                continue
            covariates[kept] = str(given("covariates", column))
    # Labels asked of the file names are not overruled by a column that nobody named.
    labels = given("label_column", choices.label_column) or (
        None if choices.label else found(_LABELS)
    )
    return Columns(
        key,
        by,
        labels,
        given("patient_column", choices.patient_column) or found(_PATIENTS),
        given("split_column", choices.split_column) or found(_SPLITS),
        covariates,
    )


def join(
    index: Index, name: str, content: bytes, choices: Choices, layout: Layout, salt: bytes
) -> Joined:
    """Write what the table says of each accepted file into the index.

    A row is joined to every file with its path, its file name or (by then hashed) number.  Raises
    InvalidValue for a table without usable columns, with contradictions, or with a covariate that
    tells too much.
    """
    columns, reader = read(name, content, choices)
    index.execute(
        "CREATE TABLE told (key TEXT PRIMARY KEY, shown TEXT, label TEXT, patient TEXT, "
        "split TEXT, covariates TEXT, used INTEGER DEFAULT 0) WITHOUT ROWID"
    )
    told = 0
    seen: dict[str, set[str]] = {kept: set() for kept in columns.covariates}
    for row in _rows(reader, columns, salt, seen):
        before = index.one("SELECT label FROM told WHERE key = ?", row[0])
        same = index.one(
            "SELECT COUNT(*) FROM told WHERE key = ? AND label IS ? AND patient IS ? AND "
            "split IS ?", row[0], row[2], row[3], row[4],
        )  # fmt: skip
        if same:
            continue
        if index.one("SELECT COUNT(*) FROM told WHERE key = ?", row[0]):
            raise _wrong(
                f"The table {name!r} has two rows for {row[1]!r} that differ "
                f"({before!r}, {row[2]!r}).",
                "Keep one row a file.",
            )
        index.change(
            "INSERT INTO told (key, shown, label, patient, split, covariates) "
            "VALUES (?, ?, ?, ?, ?, ?)", [row],
        )  # fmt: skip
        told += 1
    without = _apply(index, columns, layout)
    matched = int(index.one("SELECT COUNT(*) FROM told WHERE used"))
    unmatched = index.query("SELECT shown FROM told WHERE NOT used ORDER BY shown LIMIT 100")
    shown = tuple(row["shown"] for row in unmatched)
    index.execute("DROP TABLE told")
    digest = hashlib.sha256(content).hexdigest()
    return Joined(name, digest, columns, told, matched, shown, without)


def _rows(
    reader: csv.DictReader[str], columns: Columns, salt: bytes, seen: dict[str, set[str]]
) -> Iterator[tuple[str, str, str | None, str | None, str | None, str]]:
    """(key, the key as it may be shown, label, hashed patient, split, covariates as JSON)."""
    try:
        for number, row in enumerate(reader, 2):
            key = (row.get(columns.key) or "").strip()
            if not key:
                continue

            def value(column: str | None, row: dict[str, str] = row) -> str | None:
                return ((row.get(column) or "").strip() or None) if column else None

            label, split, patient = value(columns.label), value(columns.split), None
            if (person := value(columns.patient)) is not None:
                patient = hashed(salt, "patient", person)
            if split is not None:
                if split.lower() not in SPLIT_OF:
                    raise _wrong(
                        f"Row {number} of the table gives the split {split[:50]!r}.",
                        "Use train, validation (val) or held_out (test).",
                    )
                split = SPLIT_OF[split.lower()]
            kept = {}
            for name, column in columns.covariates.items():
                if (given := value(column)) is None:
                    continue
                given = age_band(given) or given if name == "age" else given[:64]
                kept[name] = given
                seen[name].add(given)
                if len(seen[name]) > _VALUES_MAX:
                    raise InvalidValue(
                        f"The column {column!r} has more than {_VALUES_MAX} different values.",
                        field="choices.covariates",
                        value=column,
                        remedy="A covariate is a group (a view, a device, an age band), never what "
                        "identifies one person.",
                    )
            if columns.by == "file":
                key = normal(key.replace("\\", "/"))
                shown = key[:200]
            else:
                shown = f"row {number}"  # an identifier, which is not shown
                key = hashed(salt, columns.by, key)
            yield key, shown, label, patient, split, json.dumps(kept)
    except csv.Error as error:
        raise _wrong(f"The table cannot be read ({error}).", "Save it as CSV in UTF-8.") from None


def _apply(index: Index, columns: Columns, layout: Layout) -> int:
    """Give files what their row says; returns how many accepted files have none."""
    changes, used, left_out, without = [], [], [], 0
    rows = index.rows("id, path, sop, accession, label, covariates", "WHERE status = ?", ACCEPTED)
    for row in list(rows):
        found = next(
            (
                dict(told)
                for key in _keys_of(row, columns, layout)
                for told in index.query("SELECT * FROM told WHERE key = ?", key)
            ),
            None,
        )
        if found is None:
            without += 1
            continue
        used.append((found["key"],))
        if found["label"] is not None and (reason := check_label(found["label"])) is not None:
            left_out.append((reason, row["id"]))
        covariates = {**json.loads(row["covariates"] or "{}"), **json.loads(found["covariates"])}
        changes.append(
            (found["label"], found["patient"], found["split"], json.dumps(covariates), row["id"])
        )
    index.change(
        "UPDATE files SET label = COALESCE(?, label), patient = COALESCE(?, patient), "
        "given = COALESCE(?, given), covariates = ? WHERE id = ?", changes,
    )  # fmt: skip
    index.change("UPDATE told SET used = 1 WHERE key = ?", used)
    index.set_status(LEFT_OUT, left_out)
    return without


def _keys_of(row: Any, columns: Columns, layout: Layout) -> Iterator[str]:
    if columns.by != "file":
        if row[columns.by]:
            yield row[columns.by]
        return
    path = normal(as_bytes(row["path"]).decode("utf-8", "replace"))
    below = layout.below(path)
    parts = below.split("/")
    name = parts[-1]
    # The whole path, then less and less of it, then the name without its suffix.
    yield path
    for start in range(len(parts)):
        yield "/".join(parts[start:])
    yield name.rpartition(".")[0] or name


def _plain(column: str) -> str:
    return "".join(c for c in column.lower() if c.isalnum())


def _wrong(detail: str, remedy: str) -> InvalidValue:
    return InvalidValue(detail, field="choices.csv", remedy=remedy)
