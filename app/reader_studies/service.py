"""Reader studies as the API shows them."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from app.access.callers import caller
from app.formats import png
from library.errors import Conflict
from library.identity import Identity, Origin
from library.reader_studies.answers import Progress
from library.reader_studies.design import SYNTHETIC
from library.reader_studies.folder import Reader, ReaderStudy

_KEY = ("id", "kind", "label", "seed", "file_sha256")


def shown(study: ReaderStudy) -> dict[str, Any]:
    """A study without its key."""
    base, record, closed = f"/reader-studies/{study.id}", study.record, study.closed_at
    design = record["design"] if closed else {**record["design"], "seed": None}  # as good as a key
    return {
        **{name: record[name] for name in ("id", "created_at", "model", "digest", "dataset")},
        **{name: record[name] for name in ("resolution", "patients")},
        "design": design,
        "items": len(study.key),
        "closed_at": closed,
        "withdrawn": len(study.withdrawn),
        "readers": [progress_of(reader, study.log(reader).read()) for reader in study.readers()],
        "links": {
            "self": base,
            "page": f"/ui/reader-studies/{study.id}",
            "results": f"{base}/results.json",
            "csv": f"{base}/results.csv",
        },
    }


def progress_of(reader: Reader, progress: Progress) -> dict[str, Any]:
    consent = progress.consent
    return {
        "id": reader.id,
        "name": reader.name,
        "created_at": reader.created_at,
        "consented_at": None if consent is None else consent["at"],
        "answered": len(progress.answers),
        "total": reader.total,
        "finished_at": progress.finished_at,
    }


def state_of(study: ReaderStudy, progress: Progress) -> dict[str, Any]:
    """What a reader's page needs, and nothing that tells one image from another."""
    design, consent = study.record["design"], progress.consent
    return {
        "title": design["name"],
        "consent": design["consent"],
        "consented_at": None if consent is None else consent["at"],
        "answered": len(progress.answers),
        "total": progress.total,
        "finished_at": progress.finished_at,
        "closed": study.closed_at is not None,
        "resolution": study.record["resolution"],
    }


def operator() -> str:
    """Who asks, for the access log: a key's id, or nobody in particular."""
    found = caller.get()
    return (found.key if found else "") or "operator"


def marked_images(study: ReaderStudy) -> bytes:
    """A closed study's synthetic images as a ZIP, marked again as every sample is; its key.

    Without marks they were shown for the study's sake alone.  Real images stay where they are.
    Raises Conflict before the study is closed.
    """
    if study.closed_at is None:
        raise Conflict(
            f"The reader study {study.id} is open.",
            field="id",
            value=study.id,
            remedy="Close it first: the key must reach no reader before.",
        )
    record, engine = study.record, study.engine
    origin = Origin(
        model=record["model"],
        version_digest=record["digest"],
        engine_digest=engine["digest"],
        backend=engine["backend"],
        precision=engine["precision"],
        truncation=record["design"]["truncation"],
    )
    buffer, table = io.BytesIO(), io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(_KEY)
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, item in enumerate(study.key):
            rows.writerow([item.get(name) for name in _KEY])
            if item["kind"] == SYNTHETIC:
                with Image.open(io.BytesIO(study.item(index)), formats=("PNG",)) as image:
                    levels = np.asarray(image)
                (content,) = png.encode(
                    levels[None], [Identity(origin, item["label"], item["seed"])]
                )
                archive.writestr(f"synthetic/{item['id']}.png", content)
        archive.writestr("key.csv", table.getvalue())
    return buffer.getvalue()
