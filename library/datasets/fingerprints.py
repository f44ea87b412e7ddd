"""The order of a dataset, and its name: both by content, so that places do not matter."""

from __future__ import annotations

import hashlib

from library.datasets.choices import Choices
from library.datasets.index import ACCEPTED, Index
from library.digest import canonical_json

FORMAT = "synthorax-dataset-1"  # changes when the same files and choices give another dataset


def order(index: Index) -> None:
    """Give what is accepted its place: by label, then by the digest of the file."""
    rows = index.rows("id", "WHERE status = ? ORDER BY label, sha256", ACCEPTED)
    changes = [(position, row["id"]) for position, row in enumerate(rows)]
    index.change("UPDATE files SET position = ? WHERE id = ?", changes)


def fingerprint(index: Index, choices: Choices) -> str:
    """SHA-256 over the choices and, in their order, digest, label, split and group of each image.

    Groups are numbered as they appear: whose they are is not in it, nor any name or place.
    """
    digest = hashlib.sha256(canonical_json([FORMAT, choices.as_dict()]))
    numbers: dict[int, int] = {}
    for row in index.rows(
        "sha256, label, split, grp", "WHERE status = ? ORDER BY position", ACCEPTED
    ):
        group = numbers.setdefault(row["grp"], len(numbers))
        digest.update(canonical_json([row["sha256"], row["label"], row["split"], group]))
    return digest.hexdigest()
