"""What a dataset's files are, one by one, and what has changed since a run began with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from library.atomic import read_json
from library.errors import Conflict

Manifest = Mapping[str, tuple[str, str]]  # path below the root -> class name, SHA-256


@dataclass(frozen=True)
class Changes:
    """Paths that came, went, or hold another content (or have another class)."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        """How many files of each kind; never their names."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        told = [f"{len(paths)} {kind}" for kind, paths in kinds.items() if paths]
        return ", ".join(told) or "no change"

    def names(self, most: int = 1000) -> list[dict[str, str]]:
        """File and what became of it, as the dataset's own record shows it."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        told = [(path, kind) for kind, paths in kinds.items() for path in paths]
        # A name that is not UTF-8 must not break the JSON that shows it.
        return [
            {"file": path.encode("utf-8", "backslashreplace").decode(), "change": kind}
            for path, kind in told[:most]
        ]


def compare(before: Manifest, now: Manifest) -> Changes:
    return Changes(
        added=tuple(sorted(now.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - now.keys())),
        changed=tuple(
            sorted(path for path in now.keys() & before.keys() if now[path] != before[path])
        ),
    )


def read_manifest(path: Path) -> dict[str, tuple[str, str]]:
    return {name: (label, digest) for name, (label, digest) in read_json(path).items()}


class DatasetChanged(Conflict):
    """The files of a run's dataset are not what the run began with."""

    slug, title = "dataset-changed", "The dataset has changed"

    def __init__(self, dataset: str, root: Path, changes: Changes) -> None:
        super().__init__(
            f"The dataset {dataset} has changed since this run began (files: {changes}).",
            field="dataset.path",
            value=str(root),
            remedy=f"GET /datasets/{dataset} names them. Bring the folder back to what it was, or "
            "validate it again and start a new run.",
        )


class DatasetReplaced(Conflict):
    """A dataset was validated anew, to another result, after a job was made for it."""

    slug, title = "dataset-changed", "The dataset has changed"

    def __init__(self, dataset: str) -> None:
        super().__init__(
            f"The dataset {dataset} is no longer what this job was made for.",
            field="dataset",
            value=dataset,
            remedy="Its files or its choices were changed: clone the job to train on what it is "
            "now.",
        )
