"""A reader is removed: a link that was only tried, or that leaked, counts for nothing."""

from __future__ import annotations

import os
from pathlib import Path

from library.atomic import read_json, sync_folder
from library.errors import Conflict
from library.locks import waiting
from library.reader_studies.answers import Log, Progress
from library.reader_studies.folder import ReaderStudy


def remove_reader(study: ReaderStudy, identity: str) -> None:
    """The link opens nothing any more, and the results are without this reader.

    What they did stays in their log until the study is deleted.  Raises NotFound, and Conflict for
    a closed study: whoever knows the verdict must not choose whose answers it is made of.
    """
    with waiting(study.path / ".lock"):
        reader = study.reader(identity)
        if study.closed_at is not None:
            raise Conflict(
                f"The reader study {study.id} is closed.",
                field="reader",
                value=identity,
                remedy="Readers can be removed before the close only: its verdict stands.",
            )
        readers, removed = study.path / "readers", _folder(study)
        removed.mkdir(exist_ok=True, mode=0o700)
        os.rename(readers / f"{reader.id}.json", removed / f"{reader.id}.json")
        for folder in (removed, readers, study.path):
            sync_folder(folder)


def removed_readers(study: ReaderStudy) -> list[Progress]:
    """How far those who were removed had come."""
    found = []
    for path in sorted(_folder(study).glob("rd-*.json")):
        log = study.path / "readers" / f"{path.stem}.jsonl"
        found.append(Log(log, len(read_json(path)["order"]), study.closed_at).read())
    return found


def _folder(study: ReaderStudy) -> Path:
    return study.path / "removed"
