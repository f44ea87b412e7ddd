"""A patient withdraws: their images in reader studies become black, and nobody reads on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from library.atomic import write_json
from library.locks import waiting
from library.reader_studies import files
from library.reader_studies.folder import ReaderStudy, remove_left, studies


def holding(data_dir: Path, digests: frozenset[str]) -> list[ReaderStudy]:
    """Studies with an image of one of these files."""
    return [study for study in studies(data_dir) if _items(study, digests)]


def forget(data_dir: Path, digests: frozenset[str]) -> None:
    """Make these images black where they lie.  Doing it twice is harmless.

    The study is closed: what is left of it is not what its design says.  Answers that were given
    stay, and name no file any more.
    """
    remove_left(data_dir, wait=True)  # no key tells whose images these are
    for study in holding(data_dir, digests):
        found = _items(study, digests)
        study.close()
        side = int(study.record["resolution"])
        black = files.encode(np.zeros((side, side), np.uint8))
        with waiting(study.path / ".lock"):
            with open(study.path / "items.bin", "r+b") as file:
                for index in found:
                    file.seek(index * len(black))
                    file.write(black)
                file.flush()
                os.fsync(file.fileno())
            done = sorted({*study.withdrawn, *found})
            write_json(study.path / "withdrawn.json", {"items": done})
            # Last: by it the images are found.
            items = [
                {**item, "file_sha256": None} if i in done and "file_sha256" in item else item
                for i, item in enumerate(study.key)
            ]
            key = study.path / "key.json"
            write_json(key, {"schema": 1, "engine": study.engine, "items": items})
            key.chmod(0o600)


def _items(study: ReaderStudy, digests: frozenset[str]) -> list[int]:
    return [i for i, item in enumerate(study.key) if item.get("file_sha256") in digests]
