"""A dataset made of another one's images, split anew: what a part of a study trains on.

Its pictures stay where they are: the index names them by their absolute paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder
from library.datasets.fingerprints import fingerprint
from library.datasets.index import ACCEPTED, NAME, Index, as_bytes
from library.datasets.opened import Opened
from library.datasets.records import folder_of, read_record, update_record
from library.datasets.statistics import counts
from library.errors import NotFound

_COPIED = (
    "bytes", "status", "label", "patient", "grp", "sha256", "kind", "depth", "width", "height",
    "inverted", "covariates",
)  # fmt: skip
_INSERT = (
    f"INSERT INTO files (path, stored, split, position, {', '.join(_COPIED)}) "  # nosec B608  # noqa: S608
    f"VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, {', '.join('?' * len(_COPIED))})"
)


def derive(
    data_dir: Path, name: str, parent: Opened, split_of: Mapping[str, str]
) -> dict[str, Any]:
    """The record of a dataset in `data_dir` of the parent's images in `split_of`, by SHA-256.

    The same name and parent give the same id; what is there already stays.
    """
    source = f"{parent.identity}:{parent.record['fingerprint']}:{name}"
    identity = "ds-" + hashlib.sha256(source.encode()).hexdigest()[:12]
    try:
        return read_record(data_dir, identity)
    except NotFound:
        pass
    final = folder_of(data_dir, identity) / "c-derived"
    with new_folder(final.parent, "derived") as folder:
        with Index.new(folder / NAME) as index:
            index.change(_INSERT, _rows(parent, split_of))
            index.finish()
            fields = {
                "name": name,
                "status": "ready",
                "content": final.name,
                "choices": parent.choices.as_dict(),
                "fingerprint": fingerprint(index, parent.choices),
                **counts(index),
                "split_by": "derived",
                "patients_by": parent.record["patients_by"],
                "duplicates": parent.record["duplicates"],
                "refused_count": 0,
                "left_out_count": 0,
                # Of a folder in place: how its pictures are read, and that they may have changed.
                "derived": {"dataset": parent.identity, "window": parent.window},
            }
        claim(folder, final)
    return update_record(data_dir, identity, fields)


def _rows(parent: Opened, split_of: Mapping[str, str]) -> Any:
    rows = parent.index.rows(
        f"path, stored, {', '.join(_COPIED)}", "WHERE status = ? ORDER BY position", ACCEPTED
    )
    position = 0
    for row in rows:
        split = split_of.get(row["sha256"])
        if split is None:
            continue
        location = as_bytes(str(parent.location(row).absolute()))
        yield as_bytes(row["path"]), location, split, position, *(row[name] for name in _COPIED)
        position += 1
