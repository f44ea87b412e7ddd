"""From a folder or a ZIP to a dataset: read, join, compare, split, count, and name the result."""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder, remove_left, sync_folder, write_bytes
from library.datasets import duplicates, filters, outliers, statistics, table
from library.datasets.archive import ArchiveSource
from library.datasets.choices import Choices
from library.datasets.fingerprints import fingerprint, order
from library.datasets.index import NAME, Index
from library.datasets.layout import Layout
from library.datasets.patients import find_patients
from library.datasets.reading import (
    IMAGES,
    STAGING,
    Progress,
    Reader,
    leave_out_unlabelled,
    leave_out_withdrawn,
    list_files,
)
from library.datasets.sheets import View, before_after, chosen
from library.datasets.sources import FolderSource, Source
from library.datasets.splits import split_index
from library.decoding.identifiers import SALT_BYTES
from library.decoding.pool import SECONDS, Decoders
from library.errors import InvalidValue, SynthoraxError
from library.picture import Refused

UNPACKED_MAX = 1 << 40  # bytes of an archive, unpacked; the disk and the quota bound it sooner
SHEET = "sheet.png"
SHOWN, SHEET_RESOLUTION = 8, 128  # images on the sheet, and pixels of what is made of them


def validate(
    folder: Path,
    source: Path,
    choices: Choices,
    progress: Progress = lambda _phase, _done, _total: None,
    withdrawn: frozenset[str] = frozenset(),
    processes: int | None = None,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Validate a folder in place or a ZIP (`source`); what its record is to say.

    The index, and of a ZIP the pictures themselves, come to a new folder below `folder`, which
    `content` names: nothing refers to it until the record does.  `progress(phase, done, total)` is
    called as it goes on; what it raises ends the validation.  withdrawn: digests of files that must
    not be used; seconds: that decoding one file may take.  One at a time a folder (see
    library.datasets.opened).  Raises InvalidValue for a set that cannot be one.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as held:
        salt = _salt(folder)
        archive = not source.is_dir()
        files: Source = (
            held.enter_context(ArchiveSource(source, UNPACKED_MAX))
            if archive
            else FolderSource(source)
        )
        temporary = held.enter_context(new_folder(folder, "validation"))
        index = held.enter_context(Index.new(temporary / NAME))
        decoders = held.enter_context(Decoders(processes, seconds=seconds))
        reader = Reader(index, files, choices, salt, temporary, keep=archive)
        fields = _steps(reader, decoders, withdrawn, progress)
        index.finish()
        progress("writing", 0, 0)
        content = f"c-{secrets.token_hex(6)}"
        shutil.rmtree(temporary / STAGING, ignore_errors=True)
        if archive:
            sync_folder(temporary / IMAGES)
        claim(temporary, folder / content)
    return {**fields, "content": content}


def _steps(
    reader: Reader, decoders: Decoders, withdrawn: frozenset[str], progress: Progress
) -> dict[str, Any]:
    index, choices = reader.index, reader.choices
    layout, tables = list_files(index, reader.source, progress, reader.choices.label)
    csv = table_of(tables, choices, layout)
    reader.read(decoders, progress)
    leave_out_withdrawn(index, withdrawn)
    progress("comparing", 0, 0)
    joined = _joined(reader, csv, layout)
    leave_out_unlabelled(index)
    filters.filter_dicom(index, choices)
    told = joined is not None and joined.columns.patient is not None
    patients = find_patients(index, choices, layout, reader.salt, decoders, told)
    flags = outliers.flag(index)
    if choices.outliers == "leave_out":
        outliers.leave_out(index)
    duplicates.leave_out_identical(index)
    duplicates.find_near(index)
    split = split_index(index, choices)
    order(index)
    counted = statistics.counts(index)
    if not counted["images"]:
        raise _nothing(index)
    _draw(reader, decoders)
    return {
        "status": "ready",
        "stored_bytes": reader.keep_accepted(),
        "fingerprint": fingerprint(index, choices),
        **counted,
        "layout": layout.kind,
        "split_by": split,
        "patients_by": patients,
        "table": joined.as_dict() if joined else None,
        "duplicates": statistics.duplicates(index),
        "outliers": flags,
        **statistics.reasons(index),
        "statistics": statistics.shapes(index),
        "error": None,
    }


def table_of(found: list[str], choices: Choices, layout: Layout) -> str | None:
    """The path of the table that is named, or of the only one at the top.  Raises InvalidValue."""
    if choices.csv is not None:
        for path in found:
            if choices.csv in (path, layout.below(path)):
                return path
        raise InvalidValue(
            f"There is no table {choices.csv!r} in the dataset.",
            field="choices.csv",
            value=choices.csv,
            remedy=f"It holds: {', '.join(sorted(found)[:20]) or 'no .csv file'}.",
        )
    top = [path for path in found if path.count("/") <= layout.root.count("/")]
    if len(top) > 1:
        raise InvalidValue(
            f"There are {len(top)} tables beside the images.",
            field="choices.csv",
            value=None,
            remedy=f"Name one of: {', '.join(sorted(top)[:20])}.",
        )
    if top:
        return top[0]
    for name in ("key_column", "label_column", "patient_column", "split_column"):
        if getattr(choices, name) is not None:
            raise InvalidValue(
                f"choices.{name} names a column, and there is no table in the dataset.",
                field=f"choices.{name}",
                value=getattr(choices, name),
                remedy="Put a .csv file beside the images.",
            )
    return None


def _joined(reader: Reader, csv: str | None, layout: Layout) -> table.Joined | None:
    if csv is None:
        return None
    try:
        path = reader.source.fetch(csv, reader.folder / STAGING)
        with open(path, "rb") as file:
            content = file.read(table.CSV_MAX + 1)
    except (Refused, OSError) as error:
        raise InvalidValue(
            f"The table {csv!r} cannot be read ({error}).", field="choices.csv", value=csv
        ) from None
    return table.join(reader.index, csv, content, reader.choices, layout, reader.salt)


def _draw(reader: Reader, decoders: Decoders) -> None:
    """Before and after, made while the files are there as they came."""
    choices, staging = reader.choices, reader.folder / STAGING
    rows = chosen(reader.index, SHOWN)
    places = {row["id"]: reader.source.fetch(row["path"], staging) for row in rows}
    view = View(SHEET_RESOLUTION, choices.fit, choices.window, choices.mask)
    sheet = before_after(rows, lambda row: places[row["id"]], view, decoders)
    (reader.folder / SHEET).write_bytes(sheet)


def _nothing(index: Index) -> InvalidValue:
    tally = statistics.reasons(index)
    why = {**tally["refused_reasons"], **tally["left_out_reasons"]}
    most = "; ".join(f"{n} files: {reason}" for reason, n in list(why.items())[:3])
    error = EmptyDataset(
        f"No file of the dataset can be used ({most})." if why else "The dataset holds no image.",
        field="path",
        remedy="Put images (JPEG, PNG, TIFF, BMP, WebP, DICOM) into one sub-folder per class, "
        "for example NORMAL/ and PNEUMONIA/.",
    )
    error.told = tally
    return error


class EmptyDataset(InvalidValue):
    """Nothing of a dataset can be used; told: refused and left-out files with their reasons."""

    told: dict[str, Any]


def failed(error: SynthoraxError) -> dict[str, Any]:
    """What the record of a dataset says that cannot be one."""
    told = error.told if isinstance(error, EmptyDataset) else {}
    nothing = {"images": 0, "labels": {}, "stored_bytes": 0}
    return {"status": "failed", "error": error.as_problem(), **nothing, **told}


def _salt(folder: Path) -> bytes:
    """The dataset's own salt, made once: withdrawals find a patient by it."""
    path = folder / "salt"
    if not path.is_file():
        remove_left(path)
        write_bytes(path, secrets.token_bytes(SALT_BYTES))
        path.chmod(0o600)
    return path.read_bytes()
